"""Projected gradient ascent that chooses its step for each sample as it goes.

Source: Croce & Hein 2020, arXiv:2003.01690, sec. 3; in L1 Croce & Hein 2021, arXiv:2103.01208.
Differs: a sample leaves the batch at its first success; the gradient at the last point is not
taken; starts are uniform in the ball; see `attack.pace`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gradwarden.attack.gradient import climbed, look
from gradwarden.attack.pace import Walk, pace_of
from gradwarden.attack.runs import Plan
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Strongest
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

WIDE = ((3.0, 0.3), (2.0, 0.3))  # radii of the warm-up, share of the steps spent in each


@dataclass(frozen=True, kw_only=True)
class APGD:
    """`steps` ascent steps from each of `restarts` points; step control is per sample.

    `loss` and `start` as in `PGD`. With `targets` every restart is one run for each of that many
    classes, the most promising first by `order` ("logits" or "malt", see `attack.targeting`);
    a goal that names its class is its only target. `rho` is the share of steps that must bring a
    larger loss, or else the step is halved (L1 has a rule of its own). `warm_up` spends the first
    steps in balls of 3 and 2 radii, which helps in L1.
    """

    steps: int = 100
    restarts: int = 1
    loss: str = "cross-entropy"
    targets: int | None = None
    order: str = "logits"
    rho: float = 0.75
    start: str = "random"
    warm_up: bool = False

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise BadInput(f"steps must be at least 0, got {self.steps}")
        if not 0.0 <= self.rho <= 1.0:
            raise BadInput(f"rho must be in [0, 1], got {self.rho}")
        self._plan.check()

    @property
    def _plan(self) -> Plan:
        return Plan("APGD", self.loss, self.restarts, self.start, self.targets, self.order)

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
        """x [N, ...], y [N] -> best point per sample; a run takes `steps` backwards at most."""
        return self._plan.carry_out(self._ascend, model, x, y, threat, seed=seed, ids=ids)

    def _ascend(self, best: Attacked, problem: Problem, x_adv: Tensor, number: int) -> Attacked:
        left = self.steps
        if self.warm_up:
            for factor, share in WIDE:
                steps = int(share * self.steps)
                best, x_adv = self._warm(best, problem, x_adv, steps, factor)
                left -= steps
        return _search(best, problem, x_adv, left, self.rho, number)

    def _warm(
        self, best: Attacked, problem: Problem, x_adv: Tensor, steps: int, factor: float
    ) -> tuple[Attacked, Tensor]:
        """`best` with the passes of a search in `factor` radii, and its best points drawn in."""
        threat = problem.threat
        wide = replace(threat, ball=Scaled(threat.ball, factor), goal=Strongest(threat.goal))
        blank = best._replace(loss=torch.full_like(best.loss, float("-inf")))
        found = _search(blank, problem._replace(threat=wide), x_adv, steps, self.rho, 0)
        spent = best._replace(forwards=found.forwards, backwards=found.backwards)
        return spent, threat.project(found.x_adv, problem.x)


def _search(
    best: Attacked, problem: Problem, x_adv: Tensor, steps: int, rho: float, number: int
) -> Attacked:
    """`steps` steps from x_adv [N, ...], the last point tried too."""
    pace, done, rows = pace_of(problem.threat.ball, rho), best, torch.arange(len(x_adv))
    rows, marks, mark = rows.to(x_adv.device), pace.checkpoints(steps), 0
    walk: Walk | None = None
    for step in range(steps):
        best, value, grad = climbed(best, problem, x_adv, number)
        if walk is None:
            walk = Walk.begin(x_adv, value, grad, problem.x, pace.longest)
        else:
            walk = walk.to(x_adv, value, grad)
        if step in marks:
            walk, mark = pace.check(walk, problem.x, step - mark), step
        if best.success.any():
            done, left = done.put(rows, best), best.left
            if not len(left):
                return done
            rows, best, problem, walk = rows[left], best.at(left), problem.at(left), walk.at(left)
        x_adv = pace.move(walk, problem.threat, problem.x, first=step == 0)
    return done.put(rows, look(best, problem, x_adv, number))
