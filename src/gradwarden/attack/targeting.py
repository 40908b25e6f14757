"""Which classes to aim at, most promising first.

Source: Croce & Hein 2020, arXiv:2003.01690, sec. 5 (the largest logits); Melamed et al. 2024
(MALT), arXiv:2407.02240, sec. 3 (distance to the class boundary of the linearised model).
Differs: the dual norm is what a step of the ball's own gains, so any ball has one; in L1 it is the
mean over the elements that a step moves, not the maximum.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradwarden.attack.gradient import climbed
from gradwarden.attack.losses import loss_of
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Problem

ORDERS = ("logits", "malt")
CANDIDATES = 100  # classes that MALT looks at, the largest logits first


def check_order(order: str) -> None:
    if order not in ORDERS:
        raise BadInput(f"order must be one of {', '.join(ORDERS)}, got {order!r}")


def ranked(best: Attacked, problem: Problem, count: int, order: str) -> tuple[Attacked, Tensor]:
    """The first `count` classes but y (all, if fewer), [N, T], and `best` with the passes spent.

    "logits": by the logit at x, one forward. "malt": by (z_y - z_c) / dual norm of its gradient,
    one forward and one backward more for every other class, 100 at most. A class whose difference
    shows no gradient comes last.
    """
    check_order(order)
    with torch.no_grad():
        logits = problem.model(problem.x.clone())
    best = best._replace(forwards=best.forwards + 1)
    others = logits.scatter(1, problem.y[:, None], float("-inf"))
    wide = min(CANDIDATES, logits.shape[1] - 1) if order == "malt" else logits.shape[1] - 1
    by_logit = others.argsort(dim=1, descending=True, stable=True)[:, :wide]
    if order == "logits" or not wide:
        return best, by_logit[:, :count]
    margin, distances = loss_of(problem.threat.goal, "margin"), []
    for aim in by_logit.unbind(1):
        best, ahead, grad = climbed(best, problem._replace(loss=margin, aim=aim), problem.x)
        distances.append(-ahead / _gain(problem, grad))
    nearest = torch.stack(distances, 1).nan_to_num(nan=float("inf"))
    rank = nearest.argsort(dim=1, stable=True)
    return best, by_logit.gather(1, rank)[:, :count]


def _gain(problem: Problem, grad: Tensor) -> Tensor:
    """[N] how much the loss rises along one step across the ball, to first order."""
    threat = problem.threat
    return (grad * threat.reach(problem.x) * threat.ball.steepest(grad)).flatten(1).sum(1)
