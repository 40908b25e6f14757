"""Modules that give exact zeros for a gradient.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690 and its zero-gradient flag; Pintor et al.
2022, arXiv:2106.09947, indicator 1.
Differs: module by module and with a random direction at the output, so that a saturated loss does
not count; NaN counts as zero; the share of samples decides, not a single one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.case import Case, innermost, named
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class ZeroGradient:
    """The innermost modules whose gradient is zero or NaN throughout for over `share` of samples."""

    share: float = 0.1
    cure: ClassVar[str] = "patch"
    seeks: ClassVar[str] = "ending"

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0:
            raise BadInput(f"share must be in [0, 1), got {self.share}")

    def check(self, case: Case) -> tuple[Finding, ...]:
        faulty = [
            path
            for path, slope in case.slopes.items()
            if slope.share > self.share and case.depends(path)
        ]
        found = []
        for path in innermost(faulty):
            slope = case.slopes[path]
            if slope.kind == "zero":
                found.append(
                    Finding(
                        check="zero-gradient",
                        module=path,
                        value=slope.share,
                        threshold=self.share,
                        share=slope.share,
                        why=f"In {named(case.model, path)} the gradient is exactly zero or NaN, though the output "
                        "depends on the input.",
                        remedy="An attack must replace it on the way back (BPDA).",
                    )
                )
        return tuple(found)
