"""Modules whose true gradient says nothing about a step of the attack's size.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3 (shattered gradients).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradwarden.audit.case import Case
from gradwarden.audit.truth import Fault, Truth, findings
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class FlatGradient:
    """What it foresees of an attack's step is under 1 - `threshold` of the change, right or not."""

    threshold: float = 0.9
    cure: ClassVar[str] = "patch"
    seeks: ClassVar[str] = "ending"

    def check(self, case: Case) -> tuple[Finding, ...]:
        fault = Fault(
            check="flat-gradient",
            threshold=self.threshold,
            why="In {where} the gradient is right for the smallest steps and blind to those of an attack.",
            remedy="An attack must replace it on the way back (BPDA), or average it over a neighbourhood.",
        )
        return findings(case, fault, self._off)

    def _off(self, truth: Truth) -> tuple[Tensor, Tensor]:
        missed = 1 - truth.length
        return missed, (missed > self.threshold) & ~truth.wrong
