"""Where the parts of an interval bar lie, in percent of its width."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gradwarden.core.estimate import Estimate

EDGE = 3.0  # percent kept free at either end, for arrow heads


@dataclass(frozen=True, kw_only=True)
class Bar:
    """Positions in percent; `zone` is what is too small to count, `null` its middle."""

    value: float
    low: float
    high: float
    null: float | None = None
    zone: tuple[float, float] | None = None
    open_low: bool = False  # the interval goes on beyond the edge
    open_high: bool = False
    bound: str = ""


def around(estimate: Estimate, *, null: float, smallest: float) -> Bar:
    """The null in the middle, so that right of it speaks for a claim and left of it against."""
    ends = [estimate.value, estimate.low, estimate.high, null + smallest]
    reach = max((abs(v - null) for v in ends if math.isfinite(v)), default=0.0) or 1.0

    def at(v: float) -> float:
        share = max(-1.0, min(1.0, (v - null) / reach)) if not math.isnan(v) else 0.0
        return round(50 + (50 - EDGE) * share, 2)

    return Bar(
        value=at(estimate.value),
        low=at(estimate.low),
        high=at(estimate.high),
        null=50.0,
        zone=(at(null - smallest), at(null + smallest)) if smallest else None,
        open_low=math.isinf(estimate.low),
        open_high=math.isinf(estimate.high),
        bound=estimate.bound,
    )


def share(estimate: Estimate, *, mark: float | None = None) -> Bar:
    """On the axis from 0 to 1; `mark` is a line across, such as a claimed accuracy."""
    return Bar(
        value=round(100 * estimate.value, 2),
        low=round(100 * estimate.low, 2),
        high=round(100 * estimate.high, 2),
        null=None if mark is None else round(100 * mark, 2),
        bound=estimate.bound,
    )
