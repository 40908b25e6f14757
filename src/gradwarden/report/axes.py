"""Scales and ticks of a figure, in Plotly's words."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

from gradwarden.report.numbers import number

TICKS = 8  # at most so many on an axis whose ticks we choose


def scale(values: Sequence[float], log: bool) -> dict[str, Any]:
    """On a log axis ticks at 1, 2, 5 of each decade where they fit, else at powers of ten."""
    positive = [v for v in values if 0 < v < math.inf]
    if not log or not positive:
        return {"type": "log" if log else "linear"}
    low, high = min(positive) / 1.1, max(positive) * 1.1
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    places = [m * 10.0**d for d in decades for m in (1, 2, 5) if low <= m * 10.0**d <= high]
    if len(places) > TICKS:
        powers = [10.0**d for d in decades if low <= 10.0**d <= high]
        places = powers[:: -(-len(powers) // TICKS)]
    return {"type": "log"} | ticks(places, [number(v) for v in places])


def measured(values: Sequence[float], log: bool) -> dict[str, Any]:
    """A tick at each measured place, where these are few and far enough apart to be read."""
    places = sorted({x for x in values if math.isfinite(x)})
    if not 2 <= len(places) <= TICKS or (log and places[0] <= 0):
        return {}
    spots = [math.log(x) for x in places] if log else places
    if min(b - a for a, b in pairwise(spots)) < 0.1 * (spots[-1] - spots[0]):
        return {}
    return ticks(places, [number(x) for x in places])


def ticks(places: Iterable[float], texts: list[str]) -> dict[str, Any]:
    return {"tickmode": "array", "tickvals": list(places), "ticktext": texts}
