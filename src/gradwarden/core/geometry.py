"""Norm balls: the sets of perturbations an attacker may add.

Source: Madry et al. 2018, arXiv:1706.06083, sec. 2.1.
Differs: `sample` is uniform in the volume of the L2 ball.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws


class Ball(Protocol):
    """A set of allowed perturbations around 0. Every tensor argument is [N, ...]."""

    @property
    def radius(self) -> float: ...
    def size(self, delta: Tensor) -> Tensor:
        """[N], in units of x."""
        ...

    def project(self, delta: Tensor) -> Tensor:
        """Nearest point of the ball."""
        ...

    def steepest(self, grad: Tensor) -> Tensor:
        """The step of size 1 that gains most along `grad`; 0 where `grad` is 0."""
        ...

    def sample(self, x: Tensor, draws: Draws) -> Tensor:
        """One uniform draw of the ball for each sample of x [N, ...]."""
        ...


def per_sample(v: Tensor, like: Tensor) -> Tensor:
    """[N] -> [N, 1, ..., 1] with the rank of `like`."""
    return v.view(-1, *[1] * (like.ndim - 1))


def check_radius(radius: float) -> None:
    if not (radius > 0.0 and math.isfinite(radius)):
        raise BadInput(f"radius must be a finite number above 0, in units of x, got {radius}")


@dataclass(frozen=True)
class Linf:
    """Each element changes by at most `radius`, in units of x."""

    radius: float

    def __post_init__(self) -> None:
        check_radius(self.radius)

    def size(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().amax(1)

    def project(self, delta: Tensor) -> Tensor:
        return delta.clamp(-self.radius, self.radius)

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def sample(self, x: Tensor, draws: Draws) -> Tensor:
        return (draws.uniform(x) * 2 - 1) * self.radius


@dataclass(frozen=True)
class L2:
    """The Euclidean norm of each sample's change is at most `radius`, in units of x."""

    radius: float

    def __post_init__(self) -> None:
        check_radius(self.radius)

    def size(self, delta: Tensor) -> Tensor:
        flat = delta.flatten(1)
        # Divided by the largest element first, so that squares neither overflow nor vanish.
        top = flat.abs().amax(1, keepdim=True)
        unit = flat / top.clamp(min=_tiny(flat))
        norms: Tensor = top[:, 0] * unit.square().sum(1).sqrt()
        return norms

    def project(self, delta: Tensor) -> Tensor:
        # Not delta * (radius / size): that ratio is subnormal, thus inexact, for a huge delta.
        inside = per_sample(self.size(delta) <= self.radius, delta)
        return delta.where(inside, self.steepest(delta) * self.radius)

    def steepest(self, grad: Tensor) -> Tensor:
        top = per_sample(grad.flatten(1).abs().amax(1).clamp(min=_tiny(grad)), grad)
        unit = grad / top
        return unit / per_sample(self.size(unit).clamp(min=_tiny(grad)), grad)

    def sample(self, x: Tensor, draws: Draws) -> Tensor:
        direction = self.steepest(draws.normal(x))
        length = draws.uniform(x, 1)[:, 0] ** (1 / math.prod(x.shape[1:]))
        return direction * per_sample(length, x) * self.radius


def _tiny(like: Tensor) -> float:
    import torch

    return torch.finfo(like.dtype).tiny
