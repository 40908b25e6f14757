"""The gradient at x and the one nearby point different ways.

Source: Andriushchenko & Flammarion 2020 (GradAlign), arXiv:2007.02617, sec. 4.
Differs: a zero gradient agrees with none, cosine 0: the authors' code takes 0/0 as 1, so that a
hidden gradient looks perfect. Of the margin, whose gradient does not vanish in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import Tried, cosine
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class GradientAlignment:
    """The mean cosine of the gradients at x and at a random point of the ball is below it."""

    threshold: float = 0.3
    name: ClassVar[str] = "gradient alignment"
    source: ClassVar[str] = "Andriushchenko & Flammarion 2020, arXiv:2007.02617"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        cosines = cosine(tried.at_x["margin"].grad, tried.nearby.grad)
        mean = float(cosines.mean())
        says = (
            f"The gradients at x and at a random point of the ball have a cosine of {mean:.2f} on "
            "average; zero gradients count as 0."
        )
        return Said(mean, mean < self.threshold, says)
