"""A search that sees no gradient breaks samples that the gradient does not.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1.
Differs: compared sample by sample: an accuracy that is lower on the whole hides what only the
black box finds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class BlackBoxBeatsWhiteBox:
    """Square breaks over `threshold` of the samples that FGSM and PGD leave standing."""

    threshold: float = 0.01
    name: ClassVar[str] = "black box beats white box"
    source: ClassVar[str] = "Athalye et al. 2018, arXiv:1802.00420, behaviour 2"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        only = tried.square.success & ~tried.white_box
        share = float(only.float().mean())
        says = (
            f"{tried.queries} queries of Square break {percent(share)} of the samples that FGSM "
            f"and PGD do not, and {percent(float(tried.square.success.float().mean()))} in all."
        )
        return Said(share, share > self.threshold, says)
