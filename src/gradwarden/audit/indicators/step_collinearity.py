"""The gradient turns at every step of the attack.

Source: Gomes 2022, arXiv:2204.04778 (PGD collinearity).
Differs: of the gradients, not of the steps, which depend on the step's size and end at the ball's
edge; a zero gradient is collinear with none.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import torch

from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import Tried, cosine
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class StepCollinearity:
    """The median over samples of the mean cosine of successive gradients of PGD is below it."""

    threshold: float = 0.3
    name: ClassVar[str] = "step collinearity"
    source: ClassVar[str] = "Gomes 2022, arXiv:2204.04778"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        grads = tried.path.grads
        turns = torch.stack([cosine(one, two) for one, two in pairwise(grads)])
        value = float(turns.mean(0).median())
        says = f"Successive gradients of PGD have a cosine of {value:.2f} in the median sample."
        return Said(value, value < self.threshold, says)
