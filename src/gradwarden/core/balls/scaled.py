"""A ball whose units differ from feature to feature."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradwarden.core.bounds import Bound, nested, tensor_of
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws


@dataclass(frozen=True)
class Scaled:
    """`ball`, in units of `units`: what it allows of delta / units.

    `units` are numbers above 0, nested like a sample or broadcasting with it (a tensor will do):
    Scaled(Linf(0.1), box widths) lets each feature change by a tenth of its range.
    """

    ball: Ball
    units: Bound

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", nested(self.units))
        if not _smallest(self.units) > 0.0:
            raise BadInput(f"units must be above 0, got {_smallest(self.units)}")

    @property
    def radius(self) -> float:
        return self.ball.radius

    def size(self, delta: Tensor) -> Tensor:
        return self.ball.size(delta / self._units(delta))

    def project(
        self, delta: Tensor, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        units = self._units(delta)
        ends = (None if end is None else end / units for end in (low, high))
        return self.ball.project(delta / units, *ends) * units

    def steepest(self, grad: Tensor) -> Tensor:
        units = self._units(grad)
        return self.ball.steepest(grad * units) * units

    def reach(self, width: Tensor) -> Tensor | float:
        return self.ball.reach(width / self._units(width[None]))  # it may be that of one sample

    def sample(self, x: Tensor, draws: Draws, width: Tensor | None = None) -> Tensor:
        units = self._units(x)
        width = None if width is None else width / units
        return self.ball.sample(x / units, draws, width) * units

    def _units(self, like: Tensor) -> Tensor:
        return tensor_of(self.units, like)


def _smallest(units: Bound) -> float:
    return min(map(_smallest, units)) if isinstance(units, tuple) else units
