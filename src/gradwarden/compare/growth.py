"""How the gradient norm of a net depends on sequence length and on depth."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from torch import nn

from gradwarden.clip.norm import total_norm
from gradwarden.compare.results import Grown, as_result
from gradwarden.compare.training import OPTIMIZERS
from gradwarden.core.errors import BadInput
from gradwarden.tasks.nets import weights
from gradwarden.tasks.task import TrainingTask

SIZES = {"length": (4, 8, 16, 24, 32, 48), "depth": (1, 2, 3, 4, 6, 8)}


@dataclass(frozen=True, kw_only=True)
class GrowthJob:
    """Measures along "length" (time steps) or "depth" (layers).

    `steps` 0: a fresh net and its first batch. Else: the weights and the batch of the worst step,
    the one with the largest finite gradient norm, among the first `steps` of the task's optimizer,
    unclipped, at `rate`; a deeper net has a worst step of its own.
    """

    of: TrainingTask
    along: str
    steps: int
    rate: float
    seed: int
    expected: float = 0.5

    def __post_init__(self) -> None:
        if self.along not in self.of.sizes:
            raise BadInput(f"along must be one of {list(self.of.sizes)}, got {self.along!r}")

    @property
    def task(self) -> str:
        return self.of.name

    @property
    def state(self) -> str:
        if not self.steps:
            return "fresh"
        return f"worst of {self.steps} unclipped steps of {self.of.optimizer} {self.rate:g}"

    @property
    def arm(self) -> str:
        return f"growth with {self.along}, {self.of.net}, {self.state}"

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
        with weights(self.seed, self.task):
            found = list(self._by_length() if self.along == "length" else self._by_depth())
        kept = [(size, log) for size, log in found if math.isfinite(log)]
        return as_result(
            Grown(
                along=self.along,
                state=self.state,
                net=self.of.net,
                seed=self.seed,
                sizes=tuple(float(size) for size, _ in kept),
                log_norms=tuple(log for _, log in kept),
            )
        )

    def _by_length(self) -> Iterator[tuple[int, float]]:
        net, batch = self._worst(self.of)
        for length in SIZES["length"]:
            if length <= batch[0].shape[1]:
                yield length, _log_norm(net, self.of, self.of.cut(batch, length))

    def _by_depth(self) -> Iterator[tuple[int, float]]:
        for depth in SIZES["depth"]:
            deep = self.of.deeper(depth)
            net, batch = self._worst(deep)
            yield depth, _log_norm(net, deep, batch)

    def _worst(self, task: TrainingTask) -> tuple[nn.Module, Any]:
        net = task.model(self.seed)
        optimizer = OPTIMIZERS[task.optimizer](net.parameters(), self.rate)
        batches = task.batches(self.seed, net)
        top, worst, at = -1.0, copy.deepcopy(net), next(task.batches(self.seed, net))
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


def _log_norm(net: nn.Module, task: TrainingTask, batch: Any) -> float:
    """Of the parameter gradient, in float64, where an exploding net is finite too."""
    wide = copy.deepcopy(net).double()
    wide.zero_grad()
    exact = tuple(t.double() if t.is_floating_point() else t for t in batch)
    task.loss(wide, exact).backward()
    norm = float(total_norm([p.grad for p in wide.parameters() if p.grad is not None]))
    return math.log(norm) if norm > 0.0 else -math.inf
