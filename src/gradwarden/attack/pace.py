"""How far APGD steps, sample by sample, and when it goes back to the best point.

Source: Croce & Hein 2020, arXiv:2003.01690, sec. 3 (`Halving`); Croce & Hein 2021,
arXiv:2103.01208, sec. 4 (`Sparsity`).
Differs: after going back there is no momentum from the point that was left; elements that the box
stops are not counted among those that a step moves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, Protocol, Self

import torch
from torch import Tensor

from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.bounds import tensor_of
from gradwarden.core.geometry import Ball, per_sample
from gradwarden.core.threat import Threat

MOMENTUM = 0.25
DENSEST = 0.2  # share of elements that the first step moves at most
SPARSER = 1.5  # elements of the best point for each that the next step moves


class Walk(NamedTuple):
    """Where the search of each of N samples is. "Best" is the largest loss of this run."""

    x_adv: Tensor  # [N, ...]
    before: Tensor  # [N, ...] the point it came from
    value: Tensor  # [N] loss at the last point tried
    grad: Tensor  # [N, ...] at `x_adv`
    best_x: Tensor  # [N, ...]
    best_grad: Tensor  # [N, ...]
    best_value: Tensor  # [N]
    size: Tensor  # [N] of the next step, in radii
    rises: Tensor  # [N] steps since the last checkpoint after which the loss had risen
    checked: Tensor  # [N] `best_value` at the last checkpoint
    halved: Tensor  # [N] bool: at the last checkpoint
    moves: Tensor  # [N] elements that the next step moves
    moved: Tensor  # [N] elements of `best_x` that differed from x at the last checkpoint

    @classmethod
    def begin(cls, x_adv: Tensor, value: Tensor, grad: Tensor, x: Tensor, size: float) -> Self:
        value = _ordered(value)
        moved = _moved(x_adv, x)
        full, none = torch.full_like(value, size), torch.zeros_like(value)
        return cls(
            x_adv,
            x_adv,
            value,
            grad,
            best_x=x_adv,
            best_grad=grad,
            best_value=value,
            size=full,
            rises=none,
            checked=value,
            halved=none == 0,
            moves=(moved / SPARSER).clamp(max=DENSEST * x[0].numel()),
            moved=moved,
        )

    def at(self, rows: Tensor) -> Self:
        """The samples `rows` [K] alone."""
        return type(self)(*(part[rows] for part in self))

    def to(self, x_adv: Tensor, value: Tensor, grad: Tensor) -> Self:
        """After a step to x_adv [N, ...], where the loss is `value` [N]."""
        value = _ordered(value)
        better = value > self.best_value
        wide = per_sample(better, x_adv)
        return self._replace(
            x_adv=x_adv,
            before=self.x_adv,
            value=value,
            grad=grad,
            best_x=torch.where(wide, x_adv, self.best_x),
            best_grad=torch.where(wide, grad, self.best_grad),
            best_value=torch.where(better, value, self.best_value),
            rises=self.rises + (value > self.value),
        )

    def back(self, where: Tensor) -> Self:
        """To the best point, `where` [N] says so."""
        wide = per_sample(where, self.x_adv)
        return self._replace(
            x_adv=torch.where(wide, self.best_x, self.x_adv),
            before=torch.where(wide, self.best_x, self.before),
            grad=torch.where(wide, self.best_grad, self.grad),
        )


def _ordered(value: Tensor) -> Tensor:
    """NaN, which nothing exceeds, counts as the least."""
    return torch.where(value.isnan(), float("-inf"), value)


class Pace(Protocol):
    """One way to choose steps."""

    @property
    def longest(self) -> float:
        """The first step, in radii."""
        ...

    def checkpoints(self, steps: int) -> frozenset[int]:
        """The numbers, from 1, of the steps after which `check` is called."""
        ...

    def move(self, walk: Walk, threat: Threat, x: Tensor, *, first: bool) -> Tensor:
        """The next point [N, ...]."""
        ...

    def check(self, walk: Walk, x: Tensor, steps: int) -> Walk:
        """`steps` after the last checkpoint."""
        ...


def pace_of(ball: Ball, rho: float) -> Pace:
    """`Sparsity` in an L1 ball, whatever its units; `Halving` in any other."""
    inner = ball
    while isinstance(inner, Scaled):
        inner = inner.ball
    return Sparsity() if isinstance(inner, L1) else Halving(rho)


@dataclass(frozen=True)
class Halving:
    """Half the step, from the best point, where at most `rho` of the steps brought a larger loss.

    Also where the best point is still the same and the step was not halved last time.
    """

    rho: float
    longest = 2.0

    def checkpoints(self, steps: int) -> frozenset[int]:
        gap, least, shorter = (max(int(share * steps), 1) for share in (0.22, 0.06, 0.03))
        found, at = set(), gap
        while at <= steps:
            found.add(at)
            gap = max(gap - shorter, least)
            at += gap
        return frozenset(found)

    def move(self, walk: Walk, threat: Threat, x: Tensor, *, first: bool) -> Tensor:
        ahead = threat.step(walk.x_adv, walk.grad, per_sample(walk.size, x), x)
        if first:
            return ahead
        change = (1 - MOMENTUM) * (ahead - walk.x_adv) + MOMENTUM * (walk.x_adv - walk.before)
        return threat.project(walk.x_adv + change, x)

    def check(self, walk: Walk, x: Tensor, steps: int) -> Walk:
        stuck = ~walk.halved & (walk.best_value <= walk.checked)
        poor = (walk.rises <= self.rho * steps) | stuck
        return walk.back(poor)._replace(
            size=torch.where(poor, walk.size / 2, walk.size),
            rises=torch.zeros_like(walk.rises),
            checked=walk.best_value,
            halved=poor,
        )


@dataclass(frozen=True)
class Sparsity:
    """Each step moves a share of the elements equally: 1 in 1.5 of those that the best point moved.

    Where the best point has become sparser, the full step from there; elsewhere a shorter one.
    """

    longest = 1.0

    def checkpoints(self, steps: int) -> frozenset[int]:
        gap = max(int(0.04 * steps), 1)
        return frozenset(range(gap, steps + 1, gap))

    def move(self, walk: Walk, threat: Threat, x: Tensor, *, first: bool) -> Tensor:
        del first
        low, high = threat.ends(x)
        stopped = (walk.x_adv <= low) & (walk.grad < 0) | (walk.x_adv >= high) & (walk.grad > 0)
        direction = _spread(threat.ball, walk.grad.masked_fill(stopped, 0.0), walk.moves)
        length = per_sample(walk.size, x) * threat.reach(x)
        return threat.project(walk.x_adv + length * direction, x)

    def check(self, walk: Walk, x: Tensor, steps: int) -> Walk:
        del steps
        moved = _moved(walk.best_x, x)
        sparser = moved < 0.95 * walk.moved
        shorter = (walk.size / 1.5).clamp(min=self.longest / 10)
        return walk.back(sparser)._replace(
            size=torch.where(sparser, self.longest, shorter),
            moves=moved / SPARSER,
            moved=moved,
        )


def _moved(x_adv: Tensor, x: Tensor) -> Tensor:
    """[N] how many elements differ by more than what rounding leaves of a projection."""
    change = (x_adv - x).flatten(1).abs()
    return (change > 1e-6 * change.amax(1, keepdim=True)).sum(1).to(x.dtype)


def _spread(ball: Ball, grad: Tensor, count: Tensor) -> Tensor:
    """Equal steps along the largest `count` [N] elements, of size 1 in `ball`."""
    if isinstance(ball, Scaled):
        units = tensor_of(ball.units, grad)
        return _spread(ball.ball, grad * units, count) * units
    flat = grad.flatten(1).abs()
    last = count.long().clamp(min=1)[:, None] - 1
    least = flat.sort(1, descending=True).values.gather(1, last)
    signs = grad.sign().flatten(1) * (flat >= least)
    total = signs.abs().sum(1, keepdim=True).clamp(min=1)
    return (signs / total).view_as(grad)
