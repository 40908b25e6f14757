"""Samples with labels, and shuffled batches of them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.draws import seed_of


class Split(NamedTuple):
    """One part of a data set."""

    x: Tensor  # [N, ...] float32
    y: Tensor  # [N] int64


class Loader:
    """Shuffled batches of `split`; each pass is another order, the same for the same seed.

    With `share`, each batch holds that share of label 1, drawn anew, and a pass goes once through
    the others: what is rare is seen as often as the rest.
    """

    def __init__(self, split: Split, batch: int, seed: int, *, share: float = 0.0) -> None:
        self._split, self._batch = split, batch
        self._rng = torch.Generator().manual_seed(seed)
        self._drawn = round(share * batch)
        self._rare = split.y.nonzero()[:, 0]
        self._passed = (split.y == 0).nonzero()[:, 0] if self._drawn else torch.arange(len(split.y))

    @classmethod
    def of(cls, split: Split, batch: int, seed: int, name: str, *, share: float = 0.0) -> Loader:
        """With a seed of its own for the task called `name`."""
        return cls(split, batch, seed_of(seed, name, "batches"), share=share)

    def __len__(self) -> int:
        return math.ceil(len(self._passed) / (self._batch - self._drawn))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = self._passed[torch.randperm(len(self._passed), generator=self._rng)]
        for some in order.split(self._batch - self._drawn):
            if self._drawn:
                drawn = torch.randint(len(self._rare), (self._drawn,), generator=self._rng)
                some = torch.cat([some, self._rare[drawn]])
            yield self._split.x[some], self._split.y[some]
