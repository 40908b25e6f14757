"""Gradients that are too small to be followed.

Source: Croce & Hein 2020, arXiv:2003.01690, sec. 4; Pintor et al. 2022, arXiv:2106.09947
(zero gradients).
Differs: in units: what the gradient of the margin promises across the whole ball, over the
spread of the sample's logits, so that scaled logits or inputs change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class GradientNorm:
    """For over `threshold` of the samples it promises under `tolerance` of the logits' spread."""

    threshold: float = 0.05
    tolerance: float = 1e-3
    name: ClassVar[str] = "gradient norm"
    source: ClassVar[str] = (
        "Croce & Hein 2020, arXiv:2003.01690; Pintor et al. 2022, arXiv:2106.09947"
    )

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        threat, x, grad = tried.problem.threat, tried.problem.x, tried.at_x["margin"].grad
        edge = threat.step(x, grad, 1.0, x)
        gain = ((edge - x).double() * grad.double()).flatten(1).sum(1)
        logits = tried.logits[0].double()
        promised = gain / (logits.amax(1) - logits.amin(1)).clamp(min=1e-300)
        share = float((promised < self.tolerance).float().mean())
        says = (
            f"For {percent(share)} of the samples the gradient promises less than "
            f"{self.tolerance:g} of the logits' spread across the ball; the median promises "
            f"{float(promised.median()):.2g}."
        )
        return Said(share, share > self.threshold, says)
