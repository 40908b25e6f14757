"""Task `motion-classify`: which shoulder exercise a smartwatch sees, on people it never saw.

Source: Burns et al. 2018, arXiv:1802.01489 (data and the split by subject); Hochreiter &
Schmidhuber 1997 (the LSTM).
Differs: one LSTM on windows of 2 s, trained for some hundred steps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.tasks.loader import Loader, Split
from gradwarden.tasks.motion import motion
from gradwarden.tasks.nets import weights
from gradwarden.tasks.packages import version
from gradwarden.tasks.task import ACCURACY, TrainingTask, at_least, logits_of, part

EXERCISES, SENSORS = 7, 6
Batch = tuple[Tensor, Tensor]  # windows [N, 6, 100] in [0, 1] and exercises [N]


class MotionNet(nn.Module):
    """Windows [N, 6, T] in [0, 1] -> logits [N, 7], read from the last state of an LSTM."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(SENSORS, hidden, batch_first=True)
        self.head = nn.Linear(hidden, EXERCISES)

    def forward(self, x: Tensor) -> Tensor:
        # Most readings lie within a quarter of the sensors' reach around rest, which is 0.5.
        _, (last, _) = self.recurrent(4 * (x.transpose(1, 2) - 0.5))
        logits: Tensor = self.head(last[0])
        return logits


@dataclass(frozen=True, kw_only=True)
class MotionClassify(TrainingTask):
    """Trained on subjects 1 to 7, judged on subject 8 (validation) and on 9 and 10 (test)."""

    hidden: int = 48
    batch: int = 32
    steps: int = 200

    name = "motion-classify"
    field = "time series"
    provenance = "Shoulder exercises of ten people, recorded by a watch, from the package seglearn."
    metrics = (ACCURACY,)
    net = "lstm"
    optimizer = "AdamW"
    rate = 1e-2
    target = 0.5  # nats: most windows are right

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "batch", "steps")

    @classmethod
    def full(cls) -> MotionClassify:
        return cls(hidden=64, steps=800)

    @property
    def data(self) -> dict[str, str]:
        return {"seglearn": version("seglearn")}

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return MotionNet(self.hidden)

    def batches(self, seed: int, model: nn.Module | None = None) -> Iterator[Batch]:
        loader = Loader(Split(*motion().train), self.batch, seed_of(seed, self.name, "batches"))
        while True:
            yield from loader

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy [] in nats."""
        x, y = batch
        return nn.functional.cross_entropy(model(x), y)

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        x, y = part(motion(), split)
        hit = logits_of(model, x).argmax(1) == y
        return {ACCURACY.name: float(hit.double().mean())}
