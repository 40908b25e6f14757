"""The attack went through an adversarial point and returned another.

Source: Pintor et al. 2022, arXiv:2106.09947, sec. 3.
Differs: of the PGD that returns its last point; our own attacks keep the first success. A share
of samples may do so: at a constant step the last points swing across the boundary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class SilentSuccess:
    """Over `threshold` of the samples are broken on the way and not at the end of PGD."""

    threshold: float = 0.05
    name: ClassVar[str] = "silent success"
    source: ClassVar[str] = "Pintor et al. 2022, arXiv:2106.09947, indicator 3"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        reached = tried.path.reached
        share = float((reached.any(0) & ~reached[-1]).float().mean())
        says = (
            f"PGD that returns its last point would lose {percent(share)} of the samples, which it "
            "broke on the way."
        )
        return Said(share, share > self.threshold, says)
