"""What fools the model that was attacked does not fool the model that is used.

Source: Pintor et al. 2022, arXiv:2106.09947, sec. 3.
Differs: the attacked model is the model in the attack's batch and with the attack's random draws,
the used one is asked again for each point alone: a stand-in for hidden parts is not at hand here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.attack.referee import judge
from gradwarden.audit.case import quiet
from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import NotRunError, Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class TransferFailure:
    """Over `threshold` of PGD's adversarial points fool the model no more when asked again."""

    threshold: float = 0.0
    draws: int = 5
    name: ClassVar[str] = "transfer failure"
    source: ClassVar[str] = "Pintor et al. 2022, arXiv:2106.09947, indicator 5"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        problem, found = tried.problem, tried.path.reached.any(0)
        if not found.any():
            raise NotRunError("PGD found no adversarial point that could fail")
        with quiet(problem.x, tried.case.seed + 1):
            points = (tried.path.best[found], problem.x[found], problem.y[found])
            judged = judge(problem.model, *points, problem.threat, draws=self.draws)
        share = float((~judged.confirmed).float().mean())
        says = (
            f"{percent(share)} of {int(found.sum())} adversarial points fail in most of "
            f"{self.draws} fresh answers, each alone in its batch."
        )
        return Said(share, share > self.threshold, says)
