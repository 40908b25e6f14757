"""Task `rnn-temporal-order`: which of two signs came first, many steps ago.

Source: Pascanu et al. 2013, arXiv:1211.5063, sec. 4.1; Hochreiter & Schmidhuber 1997, experiment 6a
(a plain recurrent net with tanh, gradient clipping against explosion).
Differs: sequences of fixed length, hundreds of steps of many sequences instead of millions of a few.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.tasks.nets import weights
from gradwarden.tasks.task import SPLITS, Metric, TrainingTask, at_least, part

SIGNS, NOISE = 2, 4  # A and B; c, d, e and f
FIRST, SECOND = (0.1, 0.2), (0.4, 0.5)  # of the length: where the two signs may stand
Batch = tuple[Tensor, Tensor]  # one-hot symbols [N, T, 6] and which of AA, AB, BA, BB [N]


class OrderNet(nn.Module):
    """Symbols [N, T, 6] -> logits [N, 4], read from the last state of a tanh net."""

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.recurrent = nn.RNN(SIGNS + NOISE, hidden, batch_first=True)
        # Norms are kept from step to step at first: by default, the signs would be forgotten.
        nn.init.orthogonal_(self.recurrent.all_weights[0][1])
        self.head = nn.Linear(hidden, SIGNS * SIGNS)

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.recurrent(x)
        logits: Tensor = self.head(last[0])
        return logits


def sequences(number: int, length: int, rng: torch.Generator) -> Batch:
    """`number` sequences of `length` symbols by the papers' rule."""
    symbols = torch.randint(SIGNS, SIGNS + NOISE, (number, length), generator=rng)
    signs = torch.randint(SIGNS, (number, 2), generator=rng)
    rows = torch.arange(number)
    for column, (low, high) in enumerate((FIRST, SECOND)):
        start, end = int(low * length), int(high * length)
        at = torch.randint(start, end + 1, (number,), generator=rng)
        symbols[rows, at] = signs[:, column]
    x = nn.functional.one_hot(symbols, SIGNS + NOISE).float()
    return x, SIGNS * signs[:, 0] + signs[:, 1]


@dataclass(frozen=True, kw_only=True)
class RNNTemporalOrder(TrainingTask):
    """Trained on sequences of `length`, judged there and on those two and three times as long."""

    length: int = 20
    hidden: int = 50
    batch: int = 32
    steps: int = 500
    held_out: int = 1000  # sequences scored on each held-out split

    name = "rnn-temporal-order"
    field = "RNN"
    provenance = "Sequences drawn by the rule of Hochreiter & Schmidhuber 1997, experiment 6a."
    net = "tanh-rnn"
    optimizer = "SGD"
    sizes = ("length",)
    rate = 0.1
    target = 0.1  # nats: most sequences are right

    def __post_init__(self) -> None:
        at_least(10, self, "length")
        at_least(1, self, "hidden", "batch", "steps", "held_out")

    @classmethod
    def full(cls) -> RNNTemporalOrder:
        return cls(length=40, steps=2000)

    @property
    def lengths(self) -> tuple[int, int, int]:
        return self.length, 2 * self.length, 3 * self.length

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Success rates: the share of the sequences that are put in order."""
        names = [f"success rate, length {length}" for length in self.lengths]
        return tuple(Metric(name, "share of the sequences", True) for name in names)

    @property
    def data(self) -> dict[str, str]:
        """None: sequences are made here."""
        return {}

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return OrderNet(self.hidden)

    def batches(self, seed: int, model: nn.Module | None = None) -> Iterator[Batch]:
        rng = torch.Generator().manual_seed(seed_of(seed, self.name, "batches"))
        while True:
            yield sequences(self.batch, self.length, rng)

    def cut(self, batch: Batch, length: int) -> Batch:
        x, y = batch
        return x[:, :length], y

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean cross-entropy [] in nats."""
        x, y = batch
        return nn.functional.cross_entropy(model(x), y)

    @torch.no_grad()
    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        """The same sequences for all runs, others for each split."""
        draw = part((0, 1, 2), split)
        found = {}
        for metric, length in zip(self.metrics, self.lengths, strict=True):
            rng = torch.Generator().manual_seed(seed_of(SPLITS[draw], self.name, length))
            x, y = sequences(self.held_out, length, rng)
            found[metric.name] = float((model(x).argmax(1) == y).double().mean())
        return found
