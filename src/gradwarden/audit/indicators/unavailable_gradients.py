"""The gradient is missing, zero or not a number.

Source: Pintor et al. 2022, arXiv:2106.09947, sec. 3.
Differs: of the margin, as a share of samples: any one sample with a zero gradient of the
cross-entropy, as in the authors' code, flags every honest net that is sure of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class UnavailableGradients:
    """Over `threshold` of the samples have no gradient of the margin."""

    threshold: float = 0.05
    name: ClassVar[str] = "unavailable gradients"
    source: ClassVar[str] = "Pintor et al. 2022, arXiv:2106.09947, indicator 1"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        slope, sure = tried.at_x["margin"], tried.at_x["cross-entropy"]
        share = float(slope.zero.float().mean())
        says = (
            f"{percent(share)} of the samples have no gradient of the margin "
            f"({percent(float((~slope.found).float().mean()))} because autograd finds no path); "
            f"the cross-entropy's is zero for {percent(float(sure.zero.float().mean()))}."
        )
        return Said(share, share > self.threshold, says)
