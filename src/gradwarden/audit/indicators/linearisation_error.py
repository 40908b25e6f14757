"""The change that the gradient foresees across the ball is not the change there is.

Source: Gomes 2022, arXiv:2204.04778 (linearization error).
Differs: the inner product of each sample with its own gradient, where the published code sums it
over the batch; relative to the changes themselves, so that 0 is linear and 1 unforeseen, not to a
loss that may be 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class LinearisationError:
    """Median over the ball's edges of |foreseen - real| / (|foreseen| + |real|) over `threshold`."""

    threshold: float = 0.5
    directions: int = 16
    name: ClassVar[str] = "linearisation error"
    source: ClassVar[str] = "Gomes 2022, arXiv:2204.04778"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        errors = torch.stack([self._error(tried, number) for number in range(self.directions)])
        value = float(errors.median(0).values.median())
        says = (
            f"What the gradient foresees at the edge of the ball is off by {value:.2f} in the "
            "median sample, where 0 is a linear margin and 1 one that was not foreseen."
        )
        return Said(value, value > self.threshold, says)

    def _error(self, tried: Tried, number: int) -> Tensor:
        """[K] at one random edge."""
        at, x, edge = tried.at_x["margin"], tried.problem.x, tried.corner(number)
        foreseen = ((edge - x) * at.grad).double().flatten(1).sum(1)
        real = tried.margins([edge])[0].double() - at.loss.double()
        size = foreseen.abs() + real.abs()
        return torch.where(size > 0, (foreseen - real).abs() / size.clamp(min=1e-300), 0.0)
