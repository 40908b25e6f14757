"""One step breaks more than many of them.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1.
Differs: paired on the same samples, with an exact McNemar test: two accuracies compared as they are
flag what is chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.estimate import mcnemar
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class OneStepBeatsMany:
    """FGSM breaks more by over `threshold`, with p below `p_value`, than 20 steps of PGD."""

    threshold: float = 0.02
    p_value: float = 0.01
    name: ClassVar[str] = "one step beats many"
    source: ClassVar[str] = "Athalye et al. 2018, arXiv:1802.00420, behaviour 1"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        once, many = tried.fgsm.success, tried.path.reached.any(0)
        gap = float(once.float().mean() - many.float().mean())
        chance = mcnemar(int((once & ~many).sum()), int((many & ~once).sum()))
        says = (
            f"One step breaks {percent(float(once.float().mean()))} and {tried.steps} steps break "
            f"{percent(float(many.float().mean()))} of the samples (p = {chance:.2g})."
        )
        return Said(gap, gap > self.threshold and chance < self.p_value, says)
