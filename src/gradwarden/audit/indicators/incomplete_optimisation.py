"""The loss was still rising when the attack ended.

Source: Pintor et al. 2022, arXiv:2106.09947, sec. 3.
Differs: sample by sample, of those that stand; the last quarter of the steps, not the last ten
whatever their number; a flat loss is complete (0/0 in the authors' code).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class IncompleteOptimisation:
    """The best loss rises by over `threshold` of its whole rise in PGD's last quarter."""

    threshold: float = 0.15
    name: ClassVar[str] = "incomplete optimisation"
    source: ClassVar[str] = "Pintor et al. 2022, arXiv:2106.09947, indicator 4"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        stands = ~tried.path.reached.any(0)
        if not stands.any():
            return Said(0.0, False, "No sample stands at the end of PGD.")
        best = tried.path.loss[:, stands].cummax(0).values
        late = best[-1] - best[-1 - max(1, tried.steps // 4)]
        whole = best[-1] - best[0]
        rise = float(torch.where(whole > 0, late / whole, 0.0).median())
        says = (
            f"Of the samples that stand, the median gains {percent(rise)} of its loss in the last "
            f"quarter of {tried.steps} steps."
        )
        return Said(rise, rise > self.threshold, says)
