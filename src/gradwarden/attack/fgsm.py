"""One step to the edge of the ball along the gradient at x.

Source: Goodfellow et al. 2015, arXiv:1412.6572, sec. 4.
Differs: any ball (steepest direction in its norm); x stays where it has the larger loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gradwarden.attack.gradient import climb, look
from gradwarden.attack.losses import check_loss, loss_of
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class FGSM:
    """The steepest point of the ball for the loss at x; `loss` as in `PGD`."""

    loss: str = "cross-entropy"

    def __post_init__(self) -> None:
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
        """x [N, ...], y [N] -> best of x and one step; draws nothing, so `seed` has no effect."""
        del seed, ids
        problem = Problem(model, threat, loss_of(threat.goal, self.loss), x, y, range(len(x)))
        best = problem.start()
        rows = best.left
        if not len(rows):
            return best
        problem = problem.at(rows)
        some, grad = climb(best.at(rows), problem, problem.x)
        return best.put(rows, look(some, problem, threat.step(problem.x, grad, 1.0, problem.x)))
