"""The points that a threat allows around x, as far as a certificate needs to know them.

Source: Zhang et al. 2018 (CROWN), arXiv:1811.00866, sec. 3.1 (the dual norm at the input).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.bounds import tensor_of
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.threat import Threat
from gradwarden.harden.bounds.layer import Interval, dot, least

DUAL = {Linf: 1.0, L2: 2.0, L1: torch.inf}


class Region(NamedTuple):
    """Every point that the referee takes for allowed, so with its tolerance; constraints ignored."""

    x: Tensor  # [N, ...] float64
    hull: Interval  # box and ball, element by element
    radius: Tensor  # [N]
    units: Tensor  # broadcasts with x
    dual: float  # exponent of the dual norm

    def least(self, rows: Tensor) -> Tensor:
        """[N, R] the least of rows [B, R, ...] . point, or less."""
        bound = least(rows, self.hull)
        if self.dual == 1.0:  # Linf: the hull is all there is to it
            return bound
        length = (rows * self.units).flatten(2).norm(p=self.dual, dim=2)
        return bound.maximum(dot(rows, self.x) - self.radius[:, None] * length)

    def at(self, rows: slice) -> Region:
        """Of some of the samples."""
        hull = Interval(self.hull.low[rows], self.hull.high[rows])
        return self._replace(x=self.x[rows], hull=hull, radius=self.radius[rows])


def region(threat: Threat, x: Tensor) -> Region:
    """x [N, ...] lie in the threat's box. Raises BadInput for a ball without an interval."""
    base, wide = threat.ball, x.double()
    units = torch.ones((), dtype=wide.dtype, device=wide.device)
    while isinstance(base, Scaled):
        units, base = units * tensor_of(base.units, wide), base.ball
    if type(base) not in DUAL:
        raise BadInput(
            f"certificates know the balls Linf, L2 and L1, also Scaled, got {threat.ball!r}"
        )
    radius = _tolerated(threat.ball, x)
    reach = radius.view(-1, *[1] * (x.ndim - 1)) * units
    low, high = threat.ends(wide)
    hull = Interval((wide - reach).maximum(low), (wide + reach).minimum(high))
    return Region(wide, hull, radius, units, DUAL[type(base)])


def _tolerated(ball: Ball, x: Tensor) -> Tensor:
    """[N] the radius with what `Threat.allows` adds to it for rounding."""
    return ball.radius * (1 + 1e-5) + torch.finfo(x.dtype).eps * ball.size(x.double())
