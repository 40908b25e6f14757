"""The Euclidean length of the whole change.

Differs: `sample` is uniform in the volume; bounds cut the projection, which may then not be the
nearest point of both sets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradwarden.core.geometry import check_radius, clamped, per_sample, tiny

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws


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
        unit = flat / top.clamp(min=tiny(flat))
        norms: Tensor = top[:, 0] * unit.square().sum(1).sqrt()
        return norms

    def project(
        self, delta: Tensor, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        # Not delta * (radius / size): that ratio is subnormal, thus inexact, for a huge delta.
        inside = per_sample(self.size(delta) <= self.radius, delta)
        return clamped(delta.where(inside, self.steepest(delta) * self.radius), low, high)

    def steepest(self, grad: Tensor) -> Tensor:
        top = per_sample(grad.flatten(1).abs().amax(1).clamp(min=tiny(grad)), grad)
        unit = grad / top
        return unit / per_sample(self.size(unit).clamp(min=tiny(grad)), grad)

    def reach(self, width: Tensor) -> float:
        return self.radius

    def sample(self, x: Tensor, draws: Draws, width: Tensor | None = None) -> Tensor:
        direction = self.steepest(draws.normal(x))
        length = draws.uniform(x, 1)[:, 0] ** (1 / math.prod(x.shape[1:]))
        return direction * per_sample(length, x) * self.radius
