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

from gradwarden.attack.gradient import climb
from gradwarden.attack.losses import check_loss, loss_of
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Model
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
        best = Attacked.start(model, threat.goal, loss_of(threat.goal, self.loss), x, y)
        names = range(len(x)) if ids is None else ids
        for restart in range(self.restarts):
            rows = (~best.success).nonzero()[:, 0]
            if not len(rows):
                break
            draws = Draws(seed, [names[row] for row in rows.tolist()], "PGD", restart)
            some = self._ascend(best.at(rows), model, x[rows], y[rows], threat, draws, restart)
            best = best.put(rows, some)
        return best

    def _ascend(
        self,
        best: Attacked,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        draws: Draws,
        restart: int,
    ) -> Attacked:
        ball, goal, loss = threat.ball, threat.goal, loss_of(threat.goal, self.loss)
        x_adv, done = threat.sample(x, draws), best
        rows = torch.arange(len(x), device=x.device)
        for _ in range(self.steps):
            best, grad = climb(best, model, goal, loss, x_adv, y, restart)
            x_adv = threat.project(x_adv + self.step_size * ball.radius * ball.steepest(grad), x)
            if best.success.any():
                done = done.put(rows, best)
                left = (~best.success).nonzero()[:, 0]
                if not len(left):
                    return done
                rows, x, y, x_adv, best = rows[left], x[left], y[left], x_adv[left], best.at(left)
        with torch.no_grad():
            best, _ = best.score(model, goal, loss, x_adv, y, restart)
        return done.put(rows, best)
