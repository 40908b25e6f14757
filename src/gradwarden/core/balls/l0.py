"""The number of elements that change.

Source: Croce & Hein 2019, arXiv:1909.05040, sec. 2.2 (projection onto L0 and box).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import clamped, gain

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws


@dataclass(frozen=True)
class L0:
    """At most `radius` elements of each sample change, as far as the box goes."""

    radius: int

    def __post_init__(self) -> None:
        if self.radius < 1 or self.radius != int(self.radius):
            raise BadInput(f"radius must be a whole number of elements above 0, got {self.radius}")

    def size(self, delta: Tensor) -> Tensor:
        return (delta.flatten(1) != 0).sum(1).to(delta.dtype)

    def project(
        self, delta: Tensor, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        """The nearest point: those elements kept that bring it nearest."""
        return clamped(delta, low, high) * self._largest(gain(delta, low, high))

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign() * self._largest(grad.abs())

    def reach(self, width: Tensor) -> Tensor:
        return width

    def sample(self, x: Tensor, draws: Draws, width: Tensor | None = None) -> Tensor:
        """Elements drawn at random, changed by up to `width` (default 1) up or down."""
        change = (draws.uniform(x) * 2 - 1) * self._largest(draws.uniform(x) + 1)
        return change if width is None else change * width

    def _largest(self, value: Tensor) -> Tensor:
        """1 at the `radius` largest elements of each sample, 0 elsewhere."""
        flat = value.flatten(1)
        where = flat.topk(min(int(self.radius), flat.shape[1]), dim=1).indices
        return flat.new_zeros(flat.shape).scatter(1, where, 1.0).view_as(value)
