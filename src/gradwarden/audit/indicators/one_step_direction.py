"""One step and many lead different ways.

Source: Andriushchenko & Flammarion 2020, arXiv:2007.02617, sec. 4 (FGSM against PGD).
Differs: a perturbation that is zero agrees with none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import Tried, cosine
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class OneStepDirection:
    """The median cosine of FGSM's and PGD's perturbations is below it."""

    threshold: float = 0.1
    name: ClassVar[str] = "one-step direction"
    source: ClassVar[str] = "Andriushchenko & Flammarion 2020, arXiv:2007.02617, FGSM-PGD cosine"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        problem, grad = tried.problem, tried.at_x["cross-entropy"].grad
        once = problem.threat.step(problem.x, grad, 1.0, problem.x) - problem.x
        value = float(cosine(once, tried.path.last - problem.x).median())
        says = (
            f"The perturbations of FGSM and of {tried.steps} steps of PGD have a cosine of "
            f"{value:.2f} in the median sample."
        )
        return Said(value, value < self.threshold, says)
