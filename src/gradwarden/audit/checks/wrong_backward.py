"""Modules whose backward contradicts their forward.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1 (incorrect gradients).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradwarden.audit.case import Case
from gradwarden.audit.truth import Fault, Truth, findings
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class WrongBackward:
    """No derivative for the smallest steps, and no guide for those of an attack."""

    threshold: float = 0.5
    cure: ClassVar[str] = "patch"
    seeks: ClassVar[str] = "ending"

    def check(self, case: Case) -> tuple[Finding, ...]:
        fault = Fault(
            check="wrong-backward",
            threshold=self.threshold,
            why="In {where} the gradient contradicts what the module does, however small the step.",
            remedy="An attack must replace it on the way back (BPDA).",
        )
        return findings(case, fault, self._off)

    def _off(self, truth: Truth) -> tuple[Tensor, Tensor]:
        return (truth.small - 1).abs(), truth.wrong & ~truth.guides
