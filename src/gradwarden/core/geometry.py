"""Norm balls: the sets of perturbations an attacker may add. Each one has a file in `core.balls`.

Source: Madry et al. 2018, arXiv:1706.06083, sec. 2.1.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Protocol

from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws


class Ball(Protocol):
    """A set of allowed perturbations around 0. Every tensor argument is [N, ...].

    `low` <= 0 <= `high` bound the perturbation itself (they broadcast with it); `width` is the
    width of the box that x lies in, a number or one a feature.
    """

    @property
    def radius(self) -> float: ...
    def size(self, delta: Tensor) -> Tensor:
        """[N], in units of x (L0: elements)."""
        ...

    def project(
        self, delta: Tensor, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        """A point of the ball near `delta`, inside the bounds where they are given."""
        ...

    def steepest(self, grad: Tensor) -> Tensor:
        """The direction of size 1 that gains most along `grad`; 0 where `grad` is 0."""
        ...

    def reach(self, width: Tensor) -> Tensor | float:
        """How far along `steepest` the ball ends, where x is free; broadcasts with a sample."""
        ...

    def sample(self, x: Tensor, draws: Draws, width: Tensor | None = None) -> Tensor:
        """One random perturbation of the ball for each sample of x [N, ...]."""
        ...


def per_sample(v: Tensor, like: Tensor) -> Tensor:
    """[N] -> [N, 1, ..., 1] with the rank of `like`."""
    return v.view(-1, *[1] * (like.ndim - 1))


def check_radius(radius: float) -> None:
    if not (radius > 0.0 and math.isfinite(radius)):
        raise BadInput(f"radius must be a finite number above 0, in units of x, got {radius}")


def clamped(delta: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    """`delta` inside the bounds that are given."""
    if low is None or high is None:
        return delta
    return delta.clamp(low, high)


def gain(delta: Tensor, low: Tensor | None, high: Tensor | None) -> Tensor:
    """How much nearer to `delta` each element brings a point that keeps it instead of 0."""
    return delta.square() - (delta - clamped(delta, low, high)).square()


def tiny(like: Tensor) -> float:
    """The smallest normal number of its dtype."""
    import torch

    return torch.finfo(like.dtype).tiny
