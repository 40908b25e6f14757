"""How near the nearest adversarial point of each sample is: the record of a minimum-norm run.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4.3 (accuracy against the size of perturbations).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from gradwarden.core.display import Series
from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, proportion
from gradwarden.core.records import SCHEMA, Origin

SLACK = 1e-5  # relative: what the referee allows a point to lie outside its ball
POINTS = 200  # of a curve


@dataclass(frozen=True, kw_only=True)
class Distances:
    """Nearest successes, each an upper bound on the true distance; one entry a sample.

    A distance is 0 where the sample is wrong from the start, infinite where nothing was found
    inside the box. Every other one belongs to a point that the referee confirmed.
    """

    ids: tuple[int, ...]
    distances: tuple[float, ...]  # in the norm and units of the ball
    found_by: tuple[str | None, ...]  # the attack; None where there is none
    attacks: tuple[str, ...]  # repr of each attack, in the order run
    refuted: int  # points that an attack claimed and the referee did not confirm
    threat: str
    forwards: int  # sample passes in all
    backwards: int
    seconds: float
    origin: Origin
    schema: int = SCHEMA

    def accuracy(self, radius: float) -> Estimate:
        """Share that stands at `radius`: an upper bound on the robust accuracy there."""
        if not radius >= 0.0:
            raise BadInput(f"radius must be at least 0, in units of the ball, got {radius}")
        reach = radius * (1 + SLACK)
        return proportion(sum(d > reach for d in self.distances), len(self.distances))

    def quantile(self, share: float) -> float:
        """The distance at or below which `share` of the samples, in [0, 1], have fallen."""
        if not 0.0 <= share <= 1.0:
            raise BadInput(f"share must be in [0, 1], got {share}")
        return sorted(self.distances)[max(0, math.ceil(share * len(self.distances)) - 1)]

    def curve(self, name: str = "accuracy") -> Series:
        """Accuracy, with its interval, at every distance where a sample falls, 0 included.

        Where these are more than `POINTS`, some are left out, at even ranks.
        """
        radii = _thinned(sorted({0.0, *(d for d in self.distances if math.isfinite(d))}))
        ordered = sorted(self.distances)
        n = len(ordered)
        found = [proportion(n - bisect_right(ordered, radius), n) for radius in radii]
        return Series(
            name=name,
            x=tuple(radii),
            y=tuple(estimate.value for estimate in found),
            low=tuple(estimate.low for estimate in found),
            high=tuple(estimate.high for estimate in found),
            markers=False,
        )


def _thinned(radii: Sequence[float]) -> list[float]:
    """At most `POINTS` of them, the first and the last included."""
    if len(radii) <= POINTS:
        return list(radii)
    return [radii[rank * (len(radii) - 1) // (POINTS - 1)] for rank in range(POINTS)]
