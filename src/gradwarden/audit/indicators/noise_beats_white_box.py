"""Random points break samples that the gradient does not.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1.
Differs: 20 points a sample, not 10^5: it can only say yes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class NoiseBeatsWhiteBox:
    """Uniform points of the ball break over `threshold` of the samples that FGSM and PGD do not."""

    threshold: float = 0.0
    name: ClassVar[str] = "noise beats white box"
    source: ClassVar[str] = "Athalye et al. 2018, arXiv:1802.00420, behaviour 4"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        noise = tried.around.reached.any(0)
        share = float((noise & ~tried.white_box).float().mean())
        says = (
            f"{tried.draws} random points of the ball break {percent(share)} of the samples that "
            f"FGSM and PGD do not, and {percent(float(noise.float().mean()))} in all."
        )
        return Said(share, share > self.threshold, says)
