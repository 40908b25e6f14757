"""The gradient of the ratio of logits is exactly zero.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, and checks.py of its code.
Differs: gradients that are NaN or have no path count; the margin stands in for the ratio where
there are fewer than three classes; taken at x, where AutoAttack looks at its random start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class ZeroGradients:
    """Over `threshold` of the samples have a zero gradient of the logits' ratio (DLR)."""

    threshold: float = 0.0
    name: ClassVar[str] = "zero gradients"
    source: ClassVar[str] = "Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, flag 3"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        zero = tried.at_x["dlr"].zero
        share = float(zero.float().mean())
        says = (
            f"{int(zero.sum())} of {len(zero)} samples have a zero gradient of the ratio of logits."
        )
        return Said(share, share > self.threshold, says)
