"""An attack without a bound does not bring the model down to guessing.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1; Carlini et al. 2019, arXiv:1902.06705
(at large radii accuracy falls to that of guessing).
Differs: the margin is climbed: on cross-entropy an honest, saturated net stands because its loss is
flat. What guessing would leave standing is as good as 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class UnboundedFails:
    """With the box as its only bound PGD leaves more standing than guessing, or `threshold`."""

    threshold: float = 0.0
    name: ClassVar[str] = "unbounded attack fails"
    source: ClassVar[str] = "Athalye et al. 2018, arXiv:1802.00420, behaviour 3"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        stands = float((~tried.unbounded.success).float().mean())
        chance = max(self.threshold, 1 / tried.logits.shape[2])
        says = (
            f"With the box as the only bound, PGD on the margin leaves {percent(stands)} of the "
            f"samples standing; guessing would be right for {percent(chance)}."
        )
        return Said(stands, stands > chance, says, threshold=chance)
