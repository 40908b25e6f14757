"""Modules that hand on a useful gradient which is not their derivative.

Source: Bengio et al. 2013, arXiv:1308.3432, sec. 4 (straight-through estimators).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradwarden.audit.case import Case
from gradwarden.audit.truth import Fault, Truth, findings
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class StraightThrough:
    """No derivative for the smallest steps, but a guide for those of an attack: harmless."""

    threshold: float = 0.5
    cure: ClassVar[str] = "not needed"
    seeks: ClassVar[str] = "ending"

    def check(self, case: Case) -> tuple[Finding, ...]:
        fault = Fault(
            check="straight-through",
            threshold=self.threshold,
            why="In {where} the gradient is a stand-in for the derivative, and a good one at an attack's step.",
            remedy="Nothing: attackers may follow it.",
        )
        return findings(case, fault, self._off)

    def _off(self, truth: Truth) -> tuple[Tensor, Tensor]:
        return (truth.small - 1).abs(), truth.wrong & truth.guides
