"""How the gradient norm of a recurrent net depends on sequence length and on depth."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import torch
from torch import nn

from gradwarden.clip.norm import total_norm
from gradwarden.compare.results import Grown, as_result
from gradwarden.core.errors import BadInput
from gradwarden.tasks.lstm_text import LSTMText
from gradwarden.tasks.text import Windows

SIZES = {"length": (4, 8, 16, 24, 32, 48), "depth": (1, 2, 3, 4, 6, 8)}


@dataclass(frozen=True, kw_only=True)
class GrowthJob:
    """Measures along "length" (time steps) or "depth" (layers).

    `steps` 0: a fresh net and its first batch. Else: the weights and the batch of the worst step,
    the one with the largest finite gradient norm, among the first `steps` of unclipped SGD at
    `rate`; a deeper net has a worst step of its own.
    """

    of: LSTMText
    along: str
    steps: int
    rate: float
    seed: int
    expected: float = 0.5

    def __post_init__(self) -> None:
        if self.along not in SIZES:
            raise BadInput(f"along must be one of {list(SIZES)}, got {self.along!r}")

    @property
    def task(self) -> str:
        return self.of.name

    @property
    def state(self) -> str:
        if not self.steps:
            return "fresh"
        return f"worst of {self.steps} unclipped steps of SGD {self.rate:g}"

    @property
    def arm(self) -> str:
        return f"growth with {self.along}, {self.of.cell}, {self.state}"

    def config(self) -> dict[str, Any]:
        return {
            "task": repr(self.of),
            "data": self.of.data,
            "along": self.along,
            "steps": self.steps,
            "rate": self.rate,
        }

    def roots(self) -> tuple[str, ...]:
        return (__name__, type(self.of).__module__)

    def run(self) -> dict[str, Any]:
        sizes = SIZES[self.along]
        logs = self._by_length(sizes) if self.along == "length" else self._by_depth(sizes)
        kept = [(size, log) for size, log in zip(sizes, logs, strict=True) if math.isfinite(log)]
        return as_result(
            Grown(
                along=self.along,
                state=self.state,
                net=self.of.cell,
                seed=self.seed,
                sizes=tuple(float(size) for size, _ in kept),
                log_norms=tuple(log for _, log in kept),
            )
        )

    def _by_length(self, lengths: tuple[int, ...]) -> Iterator[float]:
        net, (x, y) = self._worst(self.of)
        for length in lengths:
            yield _log_norm(net, self.of, (x[:, :length], y[:, :length]))

    def _by_depth(self, depths: tuple[int, ...]) -> Iterator[float]:
        for depth in depths:
            deep = replace(self.of, layers=depth)
            net, batch = self._worst(deep)
            yield _log_norm(net, deep, batch)

    def _worst(self, task: LSTMText) -> tuple[nn.Module, Windows]:
        net = task.model(self.seed)
        optimizer = torch.optim.SGD(net.parameters(), self.rate)
        batches = task.batches(self.seed)
        top, worst, at = -1.0, copy.deepcopy(net), next(task.batches(self.seed))
        for batch in islice(batches, self.steps):
            optimizer.zero_grad()
            task.loss(net, batch).backward()
            norm = float(total_norm([p.grad for p in net.parameters() if p.grad is not None]))
            if not math.isfinite(norm):
                break
            if norm > top:
                top, worst, at = norm, copy.deepcopy(net), batch
            optimizer.step()
        return worst, at


def _log_norm(net: nn.Module, task: LSTMText, batch: Windows) -> float:
    """Of the parameter gradient, in float64, where an exploding net is finite too."""
    wide = copy.deepcopy(net).double()
    wide.zero_grad()
    task.loss(wide, batch).backward()
    norm = float(total_norm([p.grad for p in wide.parameters() if p.grad is not None]))
    return math.log(norm) if norm > 0.0 else -math.inf
