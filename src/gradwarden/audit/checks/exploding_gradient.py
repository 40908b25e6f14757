"""Modules whose true gradient is far larger than any change within the attack's reach.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3 (exploding and vanishing gradients).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradwarden.audit.case import Case
from gradwarden.audit.truth import Fault, Truth, findings
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class ExplodingGradient:
    """What it foresees of an attack's step is over `threshold` times as long as the change."""

    threshold: float = 3.0
    cure: ClassVar[str] = "patch"
    seeks: ClassVar[str] = "ending"

    def check(self, case: Case) -> tuple[Finding, ...]:
        fault = Fault(
            check="exploding-gradient",
            threshold=self.threshold,
            why="In {where} the gradient is so steep that it tells nothing about a step of an attack's size.",
            remedy="An attack must replace it on the way back (BPDA), or average it over a neighbourhood.",
        )
        return findings(case, fault, self._off)

    def _off(self, truth: Truth) -> tuple[Tensor, Tensor]:
        return truth.length, (truth.length > self.threshold) & ~truth.guides & ~truth.wrong
