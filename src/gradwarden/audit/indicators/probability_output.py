"""The model returns probabilities where the attack expects logits.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, and checks.py of its code.
Differs: log-probabilities are found too, whose exponentials sum to 1; a single sample whose
logits happen to do so is not enough, all rows must.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class ProbabilityOutput:
    """Every row sums to 1, and lies in [0, 1], or its exponentials do, within `threshold`."""

    threshold: float = 1e-4
    name: ClassVar[str] = "probability output"
    source: ClassVar[str] = "Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, flag 2"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        logits = tried.logits[0].double()
        off = {
            "outputs": _off(logits, self.threshold),
            "exponentials of the outputs": _off(logits.exp(), self.threshold),
        }
        kind = min(off, key=lambda name: off[name])
        sums = f"The {kind} sum to 1 within {off[kind]:.2g} in every row."
        says = (
            sums if off[kind] < 1 else "The outputs are neither probabilities nor their logarithms."
        )
        return Said(off[kind], off[kind] < self.threshold, says)


def _off(rows: Tensor, slack: float) -> float:
    """How far the sum of a row is from 1 at most; 1 where an element is below 0 or above 1."""
    inside = bool((rows > -slack).all() and (rows < 1 + slack).all())
    return min(1.0, float((rows.sum(1) - 1).abs().max())) if inside else 1.0
