"""Modules whose output jumps: their gradient is right, and so is only a part of the change.

Source: Xiao et al. 2019, arXiv:1905.10510 (k winners take all); Tramer et al. 2020,
arXiv:2002.08347, sec. 5 (its break, by averaged gradients).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradwarden.audit.case import Case
from gradwarden.audit.truth import Fault, Truth, findings
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class Jumps:
    """Over `threshold` of the change at an attack's own step comes unforeseen."""

    threshold: float = 0.6
    cure: ClassVar[str] = "smooth"
    seeks: ClassVar[str] = "ending"

    def check(self, case: Case) -> tuple[Finding, ...]:
        fault = Fault(
            check="jumps",
            threshold=self.threshold,
            why="In {where} the output jumps: most of what an attack's step changes is not in the "
            "gradient.",
            remedy="An attack may average the gradient over a neighbourhood.",
        )
        return findings(case, fault, self._off)

    def _off(self, truth: Truth) -> tuple[Tensor, Tensor]:
        missed = 1 - truth.share
        return missed, (missed > self.threshold) & truth.guides & ~truth.wrong
