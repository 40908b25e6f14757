"""The same samples get different answers.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, and checks.py of its code.
Differs: a share of samples counts, each with its own logits; counts of right answers alone cancel
out. Rounding below `tolerance` of the logits' length is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch.nn.functional import normalize

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class Randomised:
    """Over `threshold` of the samples get logits that differ by `tolerance` of their length."""

    threshold: float = 0.0
    tolerance: float = 1e-4
    name: ClassVar[str] = "randomised"
    source: ClassVar[str] = "Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, flag 1"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        unit = normalize(tried.logits.double(), dim=2, eps=1e-10)
        apart = (unit[:, None] - unit[None]).norm(dim=3).amax((0, 1))
        share = float((apart > self.tolerance).float().mean())
        says = (
            f"Over {len(unit)} forwards, logits scaled to length 1 differ by up to "
            f"{float(apart.max()):.2g}, for "
            f"{percent(share)} of the samples by over {self.tolerance:g}."
        )
        return Said(share, share > self.threshold, says)
