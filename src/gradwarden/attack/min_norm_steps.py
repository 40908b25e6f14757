"""How minimum-norm attacks step: directions, lengths that fade, and points kept in the box.

Source: Rony et al. 2019, arXiv:1811.09600, alg. 1 (a random direction where there is no gradient,
steps that fall like a cosine).
"""

from __future__ import annotations

import math

from torch import Tensor

from gradwarden.core.balls.l2 import L2
from gradwarden.core.search import Problem
from gradwarden.core.threat import Threat

LAST = 0.01  # the last step, as a share of the first


def boxed(threat: Threat, x_adv: Tensor, x: Tensor) -> Tensor:
    """x_adv [N, ...] in the box, and as the constraints would have a search go on; never NaN."""
    low, high = threat.ends(x)
    near = x_adv.where(x_adv.isfinite(), x).clamp(low, high)
    if threat.constraints is None:
        return near
    return threat.constraints.relax(near, x).clamp(low, high)


def free(grad: Tensor, delta: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """grad [N, ...] without the elements of delta [N, ...] that the bounds stop."""
    return grad.masked_fill(((delta <= low) & (grad < 0)) | ((delta >= high) & (grad > 0)), 0.0)


def directed(problem: Problem, grad: Tensor, seed: int, *purpose: object) -> Tensor:
    """grad [N, ...] with length 1 in L2; a random direction where it is 0."""
    flat = (~grad.flatten(1).any(1)).nonzero()[:, 0]
    if len(flat):
        draws = problem.at(flat).draws(seed, "direction", *purpose)
        grad = grad.index_copy(0, flat, draws.normal(grad[flat]))
    return L2(1.0).steepest(grad)


def faded(number: int, steps: int) -> float:
    """1 at the first step, falling like half a cosine towards 0.01."""
    return LAST + (1 - LAST) * (1 + math.cos(math.pi * number / steps)) / 2
