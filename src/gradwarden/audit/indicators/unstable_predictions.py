"""The loss changes much between points that are near to each other.

Source: Pintor et al. 2022, arXiv:2106.09947, sec. 3.
Differs: the margin, in units of the spread of the sample's logits: the loss divided by itself
explodes where it is near 0. The share of samples that are unstable is told, where the authors' code
takes one mean over all, which a few samples can make or hide. Within a hundredth of the ball:
across half of it, as there, a linear margin moves as well.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class UnstablePredictions:
    """Within a hundredth of the ball the margin moves by over `tolerance` of the logits' spread."""

    threshold: float = 0.1
    tolerance: float = 0.1
    name: ClassVar[str] = "unstable predictions"
    source: ClassVar[str] = "Pintor et al. 2022, arXiv:2106.09947, indicator 2"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        logits = tried.logits[0]
        spread = (logits.amax(1) - logits.amin(1)).clamp(min=torch.finfo(logits.dtype).tiny)
        moved = ((tried.close[1:] - tried.close[0]).abs() / spread).clamp(max=1.0).mean(0)
        share = float((moved > self.tolerance).float().mean())
        says = (
            f"For {percent(share)} of the samples the margin moves by over "
            f"{percent(self.tolerance)} of the logits' spread within a hundredth of the ball; "
            f"the median is {percent(float(moved.median()))}."
        )
        return Said(share, share > self.threshold, says)
