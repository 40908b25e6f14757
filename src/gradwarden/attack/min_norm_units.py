"""The norm that a minimum-norm attack works in, and the units in which it is plain.

Source: Croce & Hein 2020, arXiv:1907.02044, sec. 3.1 (the point of a plane nearest to x in a box).
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.bounds import tensor_of
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.threat import Threat

FAR = 1e30  # stands for a box without end
MANY = 2.0**40  # elements, more than any sample has


class Units(NamedTuple):
    """`ball`, of radius 1 and without units, measures delta / `size`."""

    p: float  # 0, 1, 2 or infinity
    ball: Ball
    size: Tensor  # broadcasts with x


def unbounded(threat: Threat) -> Threat:
    """The same threat, its ball as wide as the box."""
    return replace(threat, ball=resized(threat.ball, FAR))


def resized(ball: Ball, radius: float) -> Ball:
    """`ball` with another radius; of elements at least one, and whole."""
    if isinstance(ball, Scaled):
        return Scaled(resized(ball.ball, radius), ball.units)
    if isinstance(ball, L0):
        return L0(max(1, int(min(radius, MANY))))
    if isinstance(ball, L1 | L2 | Linf | Patch):
        return replace(ball, radius=radius)
    raise BadInput(f"expected a ball of ours, whose radius can change, got {ball!r}")


def units_of(threat: Threat, x: Tensor, allowed: tuple[float, ...], attack: str) -> Units:
    """Those of the threat's ball; of L0, which counts, the box's widths.

    Raises BadInput where the ball's norm is not among `allowed`.
    """
    plain, size = _plain(threat.ball, x)
    unit: dict[type, tuple[float, Ball]] = {
        L0: (0.0, L0(1)),
        L1: (1.0, L1(1.0)),
        L2: (2.0, L2(1.0)),
        Linf: (math.inf, Linf(1.0)),
    }
    p, one = unit.get(type(plain), (math.nan, plain))
    if p not in allowed:
        names = ", ".join(k.__name__ for k, (q, _) in unit.items() if q in allowed)
        raise BadInput(f"{attack} needs a ball of {names}, got {threat.ball!r}")
    if p == 0.0:
        low, high = (tensor_of(end, x) for end in threat.box)
        size = (high - low).where((high - low).isfinite(), 1.0)
    return Units(p, one, size)


def lengths_of(threat: Threat, x: Tensor) -> Units:
    """Lengths in L2, in the units of the threat's ball, whatever its norm."""
    return Units(2.0, L2(1.0), _plain(threat.ball, x)[1])


def _plain(ball: Ball, x: Tensor) -> tuple[Ball, Tensor]:
    """The ball without units, and the units."""
    size = x.new_ones(())
    while isinstance(ball, Scaled):
        size, ball = size * tensor_of(ball.units, x), ball.ball
    return ball, size


def to_plane(normal: Tensor, need: Tensor, up: Tensor, down: Tensor, p: float) -> Tensor:
    """The shortest d [N, D] in the p-norm with <normal, d> = need [N] and -down <= d <= up.

    Where the bounds leave no such d, the one that comes nearest. All are [N, D], float64.
    """
    sign = normal.sign() * need.sign()[:, None]
    weight, need = normal.abs(), need.abs()[:, None]
    room = up.where(sign > 0, down).clamp(min=0.0, max=FAR)
    if p == 1.0:
        return sign * _greedy(weight, need, room)
    speed = weight if p == 2.0 else torch.ones_like(weight)
    ends = (room / speed.clamp(min=1e-300)).where(weight > 0, 0.0).clamp(max=FAR)
    bends, order = ends.sort(1)
    rate = (weight * speed).gather(1, order)
    slope = rate.flip(1).cumsum(1).flip(1)  # of <normal, d> below each bend
    gaps = torch.cat([bends[:, :1], bends[:, 1:] - bends[:, :-1]], 1)
    total = (slope * gaps).cumsum(1)
    last = (total >= need).long().argmax(1, keepdim=True)
    last = last.where(total[:, -1:] >= need, total.shape[1] - 1)
    short = need - (total - slope * gaps).gather(1, last)
    start = (bends - gaps).gather(1, last)
    time = start + (short / slope.gather(1, last).clamp(min=1e-300)).clamp(min=0.0, max=FAR)
    return sign * (time * speed).minimum(room)


def _greedy(weight: Tensor, need: Tensor, room: Tensor) -> Tensor:
    """[N, D]: the heaviest elements first, each as far as it can go."""
    heavy, order = weight.sort(1, descending=True)
    room = room.gather(1, order)
    gain = heavy * room
    before = gain.cumsum(1) - gain
    share = ((need - before) / gain.clamp(min=1e-300)).clamp(0.0, 1.0)
    return torch.zeros_like(weight).scatter(1, order, room * share)
