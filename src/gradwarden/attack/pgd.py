"""Projected gradient ascent inside the threat's ball and box.

Source: Madry et al. 2018, arXiv:1706.06083, sec. 2.1.
Differs: returns the best point visited, the unperturbed x and the last point included; a sample
leaves the batch at its first success.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradwarden.attack.gradient import climb, look
from gradwarden.attack.losses import check_loss, loss_of
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class PGD:
    """`steps` ascent steps, each `step_size` ball radii long, from `restarts` random points.

    `loss` is "cross-entropy", or "margin": the best other logit minus that of y, whose gradient
    does not vanish where the model is sure.
    """

    steps: int = 40
    step_size: float = 0.1
    restarts: int = 1
    loss: str = "cross-entropy"

    def __post_init__(self) -> None:
        if self.steps < 0:
            raise BadInput(f"steps must be at least 0, got {self.steps}")
        if not 0.0 < self.step_size < float("inf"):
            raise BadInput(f"step_size must be above 0, in ball radii, got {self.step_size}")
        if self.restarts < 1:
            raise BadInput(f"restarts must be at least 1, got {self.restarts}")
        check_loss(self.loss)

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
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, threat, loss_of(threat.goal, self.loss), x, y, names)
        best = problem.start()
        for restart in range(self.restarts):
            rows = best.left
            if not len(rows):
                break
            some = problem.at(rows)
            start = threat.sample(some.x, some.draws(seed, "PGD", restart))
            best = best.put(rows, self._ascend(best.at(rows), some, start, restart))
        return best

    def _ascend(self, best: Attacked, problem: Problem, x_adv: Tensor, restart: int) -> Attacked:
        done, rows = best, torch.arange(len(x_adv), device=x_adv.device)
        for _ in range(self.steps):
            best, grad = climb(best, problem, x_adv, restart)
            x_adv = problem.threat.step(x_adv, grad, self.step_size, problem.x)
            if best.success.any():
                done, left = done.put(rows, best), best.left
                if not len(left):
                    return done
                rows, best, problem, x_adv = (
                    rows[left],
                    best.at(left),
                    problem.at(left),
                    x_adv[left],
                )
        return done.put(rows, look(best, problem, x_adv, restart))
