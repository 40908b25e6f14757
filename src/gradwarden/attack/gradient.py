"""The input gradient as an attacker gets it: zeros, and no error, where autograd finds no path."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.bpda import attach
from gradwarden.attack.losses import loss_of
from gradwarden.attack.memory import out_of_memory
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


def climb(
    best: Attacked, problem: Problem, x_adv: Tensor, restart: int = 0
) -> tuple[Attacked, Tensor]:
    """One forward and one backward at x_adv [N, ...] -> best so far, gradient of the loss [N, ...].

    The point that is tried is the repaired one, where the threat has constraints; its gradient,
    less that of the penalty of x_adv, stands for that of x_adv. Nothing is left on the model's
    parameters. A forward that refuses an input with a graph (a round trip through NumPy) is
    repeated without one.
    """
    best, _, grad = climbed(best, problem, x_adv, restart)
    return best, grad


def climbed(
    best: Attacked, problem: Problem, x_adv: Tensor, restart: int = 0
) -> tuple[Attacked, Tensor, Tensor]:
    """As `climb` -> best so far, the loss at x_adv [N], its gradient [N, ...]."""
    leaf = x_adv.detach().requires_grad_()
    tried = problem.threat.repair(leaf.detach(), problem.x)
    try:
        with torch.enable_grad():
            point, penalty = _tied(problem, tried, leaf)
            best, value = problem.score(best, point, restart)
            best, grad = _backward(best, value - penalty, leaf)
    except Exception as why:  # whatever a user's code raises when it is given a graph
        if isinstance(why, BadInput) or out_of_memory(why):
            raise
        with torch.no_grad():
            best, value = problem.score(best, tried, restart)
        grad = torch.zeros_like(tried)
    return best, value.detach(), grad


def _tied(problem: Problem, tried: Tensor, x_adv: Tensor) -> tuple[Tensor, Tensor | float]:
    """The point `tried` for x_adv [N, ...], whose gradient reaches it, and x_adv's penalty [N].

    What an equality computes from x_adv passes its gradient on to what it was computed from.
    """
    constraints = problem.threat.constraints
    if constraints is None:
        return x_adv, 0.0
    point = attach(tried, constraints.relax(x_adv, problem.x))
    return point, constraints.penalty(x_adv, problem.x)


def look(best: Attacked, problem: Problem, x_adv: Tensor, restart: int = 0) -> Attacked:
    """One forward at x_adv [N, ...], repaired as in `climb`, and no gradient."""
    with torch.no_grad():
        return problem.score(best, problem.threat.repair(x_adv, problem.x), restart)[0]


def _backward(best: Attacked, value: Tensor, x: Tensor) -> tuple[Attacked, Tensor]:
    grad = input_gradient(value, x)
    if grad is None:
        return best, torch.zeros_like(x)
    return best._replace(backwards=best.backwards + 1), usable(grad)


def input_gradient(value: Tensor, x: Tensor) -> Tensor | None:
    """d(sum of value)/dx, or None where autograd finds no path or its backward raises."""
    if not value.requires_grad:
        return None
    try:
        (grad,) = torch.autograd.grad(value.sum(), x, allow_unused=True)
    except Exception as why:  # whatever the backward of a user's function raises
        if out_of_memory(why):
            raise
        return None
    found: Tensor | None = grad
    return found


def usable(grad: Tensor) -> Tensor:
    """NaN shows no direction and becomes 0, infinity becomes the largest number."""
    return grad.nan_to_num(nan=0.0)


class GradientStatus(NamedTuple):
    """What an attacker who differentiates the loss at the samples themselves is given."""

    kind: str  # "none", "zero" or "nonzero": the one that most samples have
    share_none: float  # of samples: autograd finds no path
    share_zero: float  # exact zeros, or NaN throughout
    share_nonzero: float


def gradient_status(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    loss: str = "cross-entropy",
    batch_size: int = 256,
) -> GradientStatus:
    """The gradient of `loss` with respect to x [N, ...], sample by sample."""
    objective = loss_of(threat.goal, loss)
    none = zero = 0
    for some, labels in zip(x.split(batch_size), y.split(batch_size), strict=True):
        problem = Problem(model, threat, objective, some, labels, range(len(some)))
        after, grad = climb(problem.start(), problem, some)
        flat = ~grad.flatten(1).any(1)
        reached_back = after.backwards > 0
        none += int((~reached_back).sum())
        zero += int((flat & reached_back).sum())
    shares = {"none": none / len(x), "zero": zero / len(x)}
    shares["nonzero"] = 1.0 - (none + zero) / len(x)
    kind = max(shares, key=lambda name: shares[name])
    return GradientStatus(kind, shares["none"], shares["zero"], shares["nonzero"])
