"""Element by element functions, each between two lines.

Source: Zhang et al. 2018 (CROWN), arXiv:1811.00866, sec. 3.2 and 3.3 (ReLU with adaptive lower
bounds); Singh et al. 2018, NeurIPS, sec. 4.2 (parallel lines whose slope is the least derivative).
Differs: the lines of smooth functions are parallel instead of tangents found by search.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor
from torch.nn.functional import gelu

from gradwarden.harden.bounds.layer import Back, Interval, dot


class Lines(NamedTuple):
    """low_slope x + low_offset <= f(x) <= high_slope x + high_offset; each [N, ...]."""

    low_slope: Tensor
    low_offset: Tensor
    high_slope: Tensor
    high_offset: Tensor


class Curve(Protocol):
    """A function of one number, known well enough to be bounded on an interval."""

    def range(self, at: Interval) -> Interval: ...
    def lines(self, at: Interval) -> Lines: ...


@dataclass(frozen=True)
class Activation:
    """`curve`, element by element."""

    curve: Curve
    linear = False

    def interval(self, *inputs: Interval) -> Interval:
        (at,) = inputs
        return self.curve.range(at)

    def back(self, rows: Tensor, *inputs: Interval) -> Back:
        (at,) = inputs
        lines = self.curve.lines(at)
        # [N, ...] against [B, R, ...]: one axis for the rows.
        pulled = rows * torch.where(rows > 0, lines.low_slope[:, None], lines.high_slope[:, None])
        offset = dot(rows.clamp(max=0), lines.high_offset)
        if lines.low_offset.any():
            offset = offset + dot(rows.clamp(min=0), lines.low_offset)
        return Back((pulled,), offset)


@dataclass(frozen=True)
class Leaky:
    """max(x, slope x) with slope in [0, 1]; ReLU has 0."""

    slope: float

    def range(self, at: Interval) -> Interval:
        return Interval(self._value(at.low), self._value(at.high))

    def lines(self, at: Interval) -> Lines:
        """The lower line is the steeper of the two through 0 where that cuts off less."""
        low, high = at
        one, flat = torch.ones_like(low), torch.full_like(low, self.slope)
        bends = (low < 0) & (high > 0)
        side = one.where(low >= 0, flat)
        width = (high - low).where(bends, 1.0)
        chord = ((high - self.slope * low) / width).where(bends, side)
        lower = one.where(high >= -low, flat).where(bends, side)
        offset = ((self.slope - chord) * low).where(bends, 0.0)
        return Lines(lower, torch.zeros_like(low), chord, offset)

    def _value(self, x: Tensor) -> Tensor:
        return torch.where(x >= 0, x, self.slope * x)


@dataclass(frozen=True)
class Rising:
    """A rising function whose `derivative` has no local minimum inside: sigmoid, tanh."""

    value: Callable[[Tensor], Tensor]
    derivative: Callable[[Tensor], Tensor]

    def range(self, at: Interval) -> Interval:
        return Interval(self.value(at.low), self.value(at.high))

    def lines(self, at: Interval) -> Lines:
        least = torch.minimum(self.derivative(at.low), self.derivative(at.high))
        return _parallel(least, at, self.range(at))


def _parallel(slope: Tensor, at: Interval, range_: Interval) -> Lines:
    """Lines through both ends whose slope, 0 or more, is nowhere above the derivative."""
    low = range_.low - slope * at.low
    return Lines(slope, low, slope, range_.high - slope * at.high)


SIGMOID = Rising(torch.sigmoid, lambda x: torch.sigmoid(x) * torch.sigmoid(-x))
TANH = Rising(torch.tanh, lambda x: 1 / torch.cosh(x.clamp(-300, 300)).square())


@dataclass(frozen=True)
class GELU:
    """x times the normal distribution function: falls up to `BOTTOM`, then rises."""

    def range(self, at: Interval) -> Interval:
        ends = (gelu(at.low), gelu(at.high))
        inside = (at.low < BOTTOM) & (at.high > BOTTOM)
        lowest = torch.minimum(*ends).where(~inside, LOWEST)
        return Interval(lowest, torch.maximum(*ends))

    def lines(self, at: Interval) -> Lines:
        """Parallel where it rises, with the least derivative; else constant."""
        # Left of the bottom the derivative is below 0, and the slope 0. Right of it the derivative
        # climbs to its maximum at sqrt 2 and falls after: the least is at an end.
        least = torch.minimum(_gelu_slope(at.low), _gelu_slope(at.high))
        return _parallel(least, at, self.range(at))


BOTTOM = -0.7517915246935645  # where the derivative of GELU is 0
LOWEST = -0.16997120747990369  # GELU there


def _gelu_slope(x: Tensor) -> Tensor:
    """The derivative, or 0 where it falls."""
    density = torch.exp(-x.square() / 2) / math.sqrt(2 * math.pi)
    slope: Tensor = torch.special.ndtr(x) + x * density
    return slope.clamp(min=0)
