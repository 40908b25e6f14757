"""Projected gradient ascent inside the threat's ball and box.

Source: Madry et al. 2018, arXiv:1706.06083, sec. 2.1.
Differs: returns the best point visited, the unperturbed x and the last point included; a sample
leaves the batch at its first success.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gradwarden.attack.ascent import march
from gradwarden.attack.gradient import look
from gradwarden.attack.runs import Plan
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

SCHEDULES = ("constant", "cosine")


@dataclass(frozen=True, kw_only=True)
class PGD:
    """`steps` ascent steps, each `step_size` ball radii long, from `restarts` points.

    `schedule` "cosine" lets the step shrink from `step_size` towards 0. `loss` is a name of
    `attack.losses`: the gradient of "cross-entropy" vanishes where the model is sure, that of
    "margin" does not; "each" runs several from the same start, on whoever is left. `start` is
    "random", "adi" or "clean" (`attack.starts`).
    """

    steps: int = 40
    step_size: float = 0.1
    restarts: int = 1
    loss: str = "cross-entropy"
    schedule: str = "constant"
    start: str = "random"

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise BadInput(f"steps must be at least 0, got {self.steps}")
        if not 0.0 < self.step_size < float("inf"):
            raise BadInput(f"step_size must be above 0, in ball radii, got {self.step_size}")
        if self.schedule not in SCHEDULES:
            raise BadInput(f"schedule must be one of {', '.join(SCHEDULES)}, got {self.schedule!r}")
        self._plan.check()

    @property
    def _plan(self) -> Plan:
        return Plan("PGD", self.loss, self.restarts, self.start)

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        """x [N, ...], y [N] -> best point per sample, after at most restarts x (steps + 1) passes.

        A sample without a gradient keeps its random start.
        """
        return self._plan.carry_out(self._ascend, model, x, y, threat, seed=seed, ids=ids)

    def _ascend(self, best: Attacked, problem: Problem, x_adv: Tensor, number: int) -> Attacked:
        best, x_adv = march(best, problem, x_adv, self._sizes(), number)
        left = best.left
        if not len(left):
            return best
        return best.put(left, look(best.at(left), problem.at(left), x_adv[left], number))

    def _sizes(self) -> list[float]:
        if self.schedule == "constant":
            return [self.step_size] * self.steps
        turns = [math.cos(math.pi * step / self.steps) for step in range(self.steps)]
        return [self.step_size * (1 + turn) / 2 for turn in turns]
