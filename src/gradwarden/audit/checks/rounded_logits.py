"""Answers that take few distinct values: rounded logits, and votes.

Source: Tramer et al. 2016, arXiv:1609.02943, sec. 7 (rounded confidences); ART's post-processors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from gradwarden.audit.case import Case
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding

ENOUGH = 16  # numbers, to tell chance from rounding


@dataclass(frozen=True, kw_only=True)
class RoundedLogits:
    """Under `threshold` of the logits of different samples differ; the commonest value is left out.

    What that does to the gradient is another check's finding.
    """

    threshold: float = 0.5
    cure: ClassVar[str] = "not needed"
    seeks: ClassVar[str] = "ending"

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < 1.0:
            raise BadInput(f"threshold must be in (0, 1), got {self.threshold}")

    def check(self, case: Case) -> tuple[Finding, ...]:
        _, kinds = torch.unique(case.x.flatten(1), dim=0, return_inverse=True)
        one_each = {kind: place for place, kind in enumerate(kinds.tolist())}
        _, counts = case.logits[list(one_each.values())].flatten().unique(return_counts=True)
        rest = int(counts.sum() - counts.max())  # dead units and one-hot votes are mostly one value
        total = int(counts.sum())
        if total < ENOUGH:
            return ()
        distinct = (len(counts) - 1) / rest if rest else 0.0
        if distinct >= self.threshold or len(counts) < 2:
            return ()
        return (
            Finding(
                check="rounded-logits",
                module=None,
                value=1 - distinct,
                threshold=1 - self.threshold,
                share=1.0,
                why=f"The answers take {len(counts)} distinct values in {total} numbers: they are rounded.",
                remedy="Nothing by itself: see what the gradient makes of it.",
            ),
        )
