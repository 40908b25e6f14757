"""What a search by blocks tries next, for each kind of ball.

Source: Andriushchenko et al. 2020, arXiv:1912.00049, alg. 2 (Linf) and 3 (L2).
Differs: a sample's own block and signs; a block that would change nothing is turned round; other
balls by steps of a block, projected.
"""

from __future__ import annotations

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from gradwarden.attack.blocks import (
    bump,
    bumps,
    inside,
    offsets,
    offsets_of,
    planes,
    sides,
    unit,
    weight,
    within,
)
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1, SHARE
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.draws import Draws
from gradwarden.core.geometry import Ball, tiny
from gradwarden.core.threat import Threat

PLACES = 5  # numbers that say where: row and column of two blocks, and which way a bump lies


class Moves(Protocol):
    """Where a search by blocks begins, and what it tries next; N points that x belongs to."""

    def first(self, draws: Draws) -> Tensor:
        """[N, ...], allowed."""
        ...

    def next(self, x_adv: Tensor, share: float, chance: Tensor) -> Tensor:
        """x_adv [N, ...] with one block of `share` changed; chance [N, PLACES + C] in [0, 1)."""
        ...


def moves(threat: Threat, x: Tensor) -> Moves:
    """What suits the threat's ball."""
    ball = threat.ball.ball if isinstance(threat.ball, Scaled) else threat.ball
    if isinstance(ball, Linf):
        ones = torch.ones_like(x)
        return Corners(threat, x, threat.step(x, ones, 1.0, x), threat.step(x, -ones, 1.0, x))
    if isinstance(threat.ball, L2):
        return Bumps(threat, x)
    return Steps(threat, x, ball)


class Corners(NamedTuple):
    """Linf: every element at an end of its range; a block goes to one end, channel by channel."""

    threat: Threat
    x: Tensor
    up: Tensor  # [N, ...] the highest and lowest value of each element
    down: Tensor

    def first(self, draws: Draws) -> Tensor:
        """Vertical stripes; in series and rows every element for itself."""
        grid = planes(self.x)
        coin = draws.uniform(self.x, grid.shape[1], 1, grid.shape[3]) < 0.5
        return self._allowed(self._at(coin.expand_as(grid)))

    def next(self, x_adv: Tensor, share: float, chance: Tensor) -> Tensor:
        grid = planes(x_adv)
        block = inside(grid, sides(share, grid), chance[:, :2])
        up = (chance[:, PLACES:] < 0.5)[:, :, None, None]
        tried = torch.where(block, planes(self._at(up.expand_as(grid))), grid)
        # A block that is there already would waste a query: it goes to the other end.
        idle = (tried == grid).flatten(1).all(1)
        if idle.any():
            other = Corners(self.threat, self.x[idle], self.up[idle], self.down[idle])
            ends = planes(other._at(up[idle].logical_not().expand_as(grid[idle])))
            tried[idle] = torch.where(block[idle], ends, grid[idle])
        return self._allowed(tried.view(x_adv.shape))

    def _at(self, up: Tensor) -> Tensor:
        """Every element at its highest value where `up` [N, C, H, W], else at its lowest."""
        return torch.where(up.reshape(self.x.shape), self.up, self.down)

    def _allowed(self, x_adv: Tensor) -> Tensor:
        return x_adv if self.threat.constraints is None else self.threat.project(x_adv, self.x)


class Bumps(NamedTuple):
    """L2: a block takes the length that another block gives up, and what the ball has left."""

    threat: Threat
    x: Tensor

    def first(self, draws: Draws) -> Tensor:
        """Five by five bumps, up or down by chance."""
        grid = planes(self.x)
        rows, columns = grid.shape[2:]
        height, width = max(1, rows // 5), max(1, columns // 5)
        tiles = math.ceil(rows / height), math.ceil(columns / width)
        sign = draws.uniform(self.x, grid.shape[1], *tiles).sub(0.5).sign()
        sign = sign.repeat_interleave(height, 2).repeat_interleave(width, 3)
        tiled = bump(height, width).to(grid).repeat(*tiles)
        return self._on_the_sphere((sign * tiled)[:, :, :rows, :columns])

    def next(self, x_adv: Tensor, share: float, chance: Tensor) -> Tensor:
        delta = planes(x_adv - self.x)
        size = sides(share, delta, least=3)
        at = offsets(delta, size, chance[:, :2])
        here = weight(at, size, delta)
        there = weight(offsets(delta, size, chance[:, 2:4]), size, delta)
        rest = (1 - here) * (1 - there)
        sign = (chance[:, PLACES:] < 0.5).to(delta)[:, :, None, None] * 2 - 1
        fresh = unit(sign * bumps(at, size, chance[:, 4] < 0.5, delta) + unit(delta * here))
        squares = delta.square()
        spare = (self.threat.ball.radius**2 - squares.sum((1, 2, 3), keepdim=True)).relu()
        moved = (squares * (1 - rest)).sum((2, 3), keepdim=True)
        length = (spare / delta.shape[1] + moved).sqrt()
        return self._on_the_sphere(fresh * length + delta * rest)

    def _on_the_sphere(self, delta: Tensor) -> Tensor:
        length = delta.square().sum((1, 2, 3), keepdim=True).sqrt().clamp(min=tiny(delta))
        far = delta * (self.threat.ball.radius / length)
        low, high = self.threat.ends(self.x)  # the box only brings it nearer to x
        return self._allowed((self.x + far.view(self.x.shape)).clamp(low, high))

    def _allowed(self, x_adv: Tensor) -> Tensor:
        return x_adv if self.threat.constraints is None else self.threat.project(x_adv, self.x)


class Steps(NamedTuple):
    """Any other ball: a long step of the elements of a block, projected."""

    threat: Threat
    x: Tensor
    ball: Ball

    def first(self, draws: Draws) -> Tensor:
        return self.threat.sample(self.x, draws)

    def next(self, x_adv: Tensor, share: float, chance: Tensor) -> Tensor:
        grid = planes(x_adv)
        size = sides(share, grid, cells=self._cells(grid))
        block = self._inside(planes(x_adv - self.x), size, chance[:, :2])
        sign = (chance[:, PLACES:] < 0.5).to(grid.dtype)[:, :, None, None] * 2 - 1
        # Along sums of changes a full step would push everything else out.
        length = share**0.5 if isinstance(self.ball, L1) else 2.0
        return self.threat.step(x_adv, (sign * block).view(x_adv.shape), length, self.x)

    def _cells(self, grid: Tensor) -> float:
        """How many places of a plane the ball lets change at once."""
        channels, cells = grid.shape[1], grid.shape[2] * grid.shape[3]
        if isinstance(self.ball, L0):
            return min(self.ball.radius / channels, cells)
        if isinstance(self.ball, L1):
            return SHARE * cells
        return math.prod(_extent(self.ball, self.x)) if isinstance(self.ball, Patch) else cells

    def _inside(self, delta: Tensor, size: tuple[int, int], place: Tensor) -> Tensor:
        """[N, 1, H, W] bool: a block where it may be, that is where a patch can follow it."""
        if not isinstance(self.ball, Patch):
            return inside(delta, size, place)
        corner, changed = [], (delta != 0).any(1)
        for axis, (extent, whole) in enumerate(zip(size, _extent(self.ball, self.x), strict=True)):
            used = changed.any(2 - axis).to(torch.uint8)
            end = used.shape[1] - 1
            first, last = used.argmax(1), end - used.flip(1).argmax(1)
            if self.ball.at is not None and len(self.ball.at) >= 2 - axis:
                first = last = torch.full_like(first, self.ball.at[axis - 2])
                last = last + whole - 1
            low = (last - whole + 1).clamp(min=0)
            room = (first + whole - 1).clamp(max=end) - low + 2 - extent
            corner.append(low + (place[:, axis] * room.clamp(min=1)).long())
        return within(offsets_of(delta, size, torch.stack(corner, 1)), size)


def _extent(patch: Patch, x: Tensor) -> tuple[int, int]:
    """Rows and columns of a patch on the planes of x; it covers the axes that it does not name."""
    rows, columns = planes(x[:1]).shape[2:]
    shape = patch.shape if x.ndim > len(patch.shape) + 1 else patch.shape[1:]
    return (shape[-2] if len(shape) > 1 else rows), (shape[-1] if shape else columns)
