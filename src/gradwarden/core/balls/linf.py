"""Each element by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradwarden.core.geometry import check_radius, clamped

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws


@dataclass(frozen=True)
class Linf:
    """Each element changes by at most `radius`, in units of x."""

    radius: float

    def __post_init__(self) -> None:
        check_radius(self.radius)

    def size(self, delta: Tensor) -> Tensor:
        return delta.flatten(1).abs().amax(1)

    def project(
        self, delta: Tensor, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        return clamped(delta.clamp(-self.radius, self.radius), low, high)

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign()

    def reach(self, width: Tensor) -> Tensor:
        return width.clamp(max=self.radius)

    def sample(self, x: Tensor, draws: Draws, width: Tensor | None = None) -> Tensor:
        return (draws.uniform(x) * 2 - 1) * self.radius
