"""The attack fails though nothing bounds it.

Source: Pintor et al. 2022, arXiv:2106.09947, sec. 3.
Differs: more than half of the samples, not all of them as in the authors' code, where one
lucky sample clears the model; the margin is climbed, and every point of the way counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class UnconstrainedFailure:
    """With the box as its only bound the attack fails for over `threshold` of the samples."""

    threshold: float = 0.5
    name: ClassVar[str] = "unconstrained failure"
    source: ClassVar[str] = "Pintor et al. 2022, arXiv:2106.09947, indicator 6"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        share = float((~tried.unbounded.success).float().mean())
        fails = f"the attack fails for {percent(share)} of the samples"
        return Said(share, share > self.threshold, f"With the box as the only bound, {fails}.")
