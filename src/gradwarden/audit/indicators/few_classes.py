"""There are too few classes for the ratio of logits.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, and checks.py of its code.
Differs: says so; our own losses fall back to the margin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class FewClasses:
    """The model has fewer than `threshold` classes."""

    threshold: float = 4.0
    name: ClassVar[str] = "too few classes"
    source: ClassVar[str] = "Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, flag 6"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        count = tried.logits.shape[2]
        says = (
            f"The model has {count} classes; the targeted ratio of logits needs {self.threshold:g}."
        )
        return Said(float(count), count < self.threshold, says)
