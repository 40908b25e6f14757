"""Square breaks what the gradient attacks of both losses leave.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, and checks.py of its code.
Differs: 80 queries; paired sample by sample. Against APGD on the ratio of logits too, which
scaled logits do not mislead, so that it flags less than its neighbour of 2018.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class SquareImproves:
    """Square breaks over `threshold` of the samples beyond FGSM, PGD and APGD."""

    threshold: float = 0.002
    name: ClassVar[str] = "Square improves"
    source: ClassVar[str] = "Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, flag 4"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        gradients = tried.white_box | tried.dlr.success
        share = float((tried.square.success & ~gradients).float().mean())
        says = (
            f"After FGSM, PGD and APGD have broken {percent(float(gradients.float().mean()))}, "
            f"{tried.queries} queries of Square break {percent(share)} more."
        )
        return Said(share, share > self.threshold, says)
