"""One step to the edge of the ball along the gradient at x.

Source: Goodfellow et al. 2015, arXiv:1412.6572, sec. 4.
Differs: any ball (steepest direction in its norm); x stays where it has the larger loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradwarden.attack.gradient import climb
from gradwarden.attack.losses import check_loss, loss_of
from gradwarden.core.search import Attacked, Model
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
        goal, loss = threat.goal, loss_of(threat.goal, self.loss)
        best = Attacked.start(model, goal, loss, x, y)
        rows = (~best.success).nonzero()[:, 0]
        if not len(rows):
            return best
        x, y = x[rows], y[rows]
        some, grad = climb(best.at(rows), model, goal, loss, x, y)
        x_adv = threat.project(x + threat.ball.radius * threat.ball.steepest(grad), x)
        with torch.no_grad():
            some, _ = some.score(model, goal, loss, x_adv, y)
        return best.put(rows, some)
