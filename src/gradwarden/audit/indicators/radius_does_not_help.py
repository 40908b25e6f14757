"""A larger ball does not raise the attack's success.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1.
Differs: the same attack with the same steps, in ball radii, from x itself: a random start would
make larger noise of a larger ball. Where everything falls at once there is nothing to raise.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import RADII, NotRunError, Tried
from gradwarden.core.examination import Indicator


@dataclass(frozen=True, kw_only=True)
class RadiusDoesNotHelp:
    """PGD in 2 and 4 times the radius breaks at most `threshold` more than within the radius."""

    threshold: float = 0.0
    name: ClassVar[str] = "larger radius does not help"
    source: ClassVar[str] = "Athalye et al. 2018, arXiv:1802.00420, behaviour 5"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        if not math.isfinite(tried.problem.threat.ball.radius):
            raise NotRunError("the ball's radius is infinite")
        shares = [float(found.float().mean()) for found in tried.wider]
        gain = max(shares[1:]) - shares[0]
        said = ", ".join(
            f"{percent(share)} at {radius:g}" for radius, share in zip(RADII, shares, strict=True)
        )
        flags = gain <= self.threshold and shares[0] < 1.0
        return Said(gain, flags, f"PGD breaks {said} times the radius.")
