"""The sum of absolute changes.

Source: Croce & Hein 2021, arXiv:2103.01208 (projection onto the intersection with the box, which
decides whether an L1 attack is strong); Tramer & Boneh 2019, arXiv:1904.13000, app. E (steps along
the largest elements of the gradient).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradwarden.core.geometry import check_radius, tiny

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws


SHARE = 0.05  # of elements that one step moves: the steepest single one alone crawls


@dataclass(frozen=True)
class L1:
    """The absolute changes of each sample sum up to at most `radius`, in units of x."""

    radius: float

    def __post_init__(self) -> None:
        check_radius(self.radius)

    def size(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().sum(1)

    def project(
        self, delta: Tensor, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        """The nearest point of the ball and the bounds together."""
        flat = delta.flatten(1).double()
        most = flat.abs()
        if low is not None and high is not None:
            ends = (end.expand_as(delta).flatten(1).double().abs() for end in (low, high))
            below, above = ends
            most = most.minimum(below.where(flat < 0, above))
        outside = most.sum(1) > self.radius * (1 + 1e-9)  # the cut is found where rounding allows
        cut = _cut(flat[outside].abs(), most[outside], self.radius)
        most[outside] = (flat[outside].abs() - cut).clamp(min=0).minimum(most[outside])
        return (flat.sign() * most).view_as(delta).to(delta.dtype)

    def steepest(self, grad: Tensor) -> Tensor:
        """Equal steps along the largest elements, 1 in 20 of them (at least one)."""
        flat = grad.flatten(1)
        size, where = flat.abs().topk(max(1, round(SHARE * flat.shape[1])), dim=1)
        signs = flat.gather(1, where).sign() * (size > 0)
        signs = signs / signs.abs().sum(1, keepdim=True).clamp(min=tiny(grad))
        return flat.new_zeros(flat.shape).scatter(1, where, signs).view_as(grad)

    def reach(self, width: Tensor) -> float:
        return self.radius

    def sample(self, x: Tensor, draws: Draws, width: Tensor | None = None) -> Tensor:
        """Uniform in the volume."""
        count = math.prod(x.shape[1:])
        parts = -(1 - draws.uniform(x, count + 1)).double().log()
        share = parts[:, :count] / parts.sum(1, keepdim=True).clamp(min=tiny(parts))
        sign = draws.uniform(x).sub(0.5).sign()
        return share.view(x.shape).to(x.dtype) * sign * self.radius


def _cut(length: Tensor, most: Tensor, radius: float) -> Tensor:
    """[N, 1] c with sum of min(max(length - c, 0), most) = radius, for [N, D] float64.

    The sum is piecewise linear in c: an element begins to count below c = length, and counts no
    more below c = length - most.
    """
    import torch

    bends, order = torch.cat([length, length - most], 1).sort(1, descending=True)
    change = torch.ones_like(bends).where(order < length.shape[1], -1.0)
    slope = change.cumsum(1)
    steps = bends[:, :-1] - bends[:, 1:]
    reached = (slope[:, :-1] * steps).cumsum(1)
    enough = (reached >= radius).long().argmax(1, keepdim=True)
    excess = reached.gather(1, enough) - radius
    return bends.gather(1, enough + 1) + excess / slope.gather(1, enough).clamp(min=1)
