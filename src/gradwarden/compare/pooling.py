"""One estimate from those of several nets, or of several tasks: their mean.

Every part counts the same, however narrow its own interval: one on which nothing changed would else
decide alone. The nets of one task are alike, and few: what varies between them is estimated and added
to what each is uncertain of. Tasks are not: Student's t over them, with an interval that is not narrower
than theirs amount to.

Source: DerSimonian & Laird 1986, Controlled Clinical Trials 7(3), over nets; Hartung & Knapp 2001,
Statistics in Medicine 20(24), over tasks, with the floor of Rover et al. 2015, BMC Medical Research
Methodology 15:99.
Differs: equal weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, paired_mean

NORMAL = 1.959963984540054  # half of a 95 % interval, in standard errors
EDGE = 0.5  # samples added to either side of a share: a share of 0 or 1 has odds too


def pooled_mean(found: Sequence[Estimate]) -> Estimate:
    """The mean over tasks.

    One without an interval (a single seed) is left out, unless all are like that. `bound` is kept
    where all have the same or none; else the mean is a plain one.
    """
    return _mean(found, _over_tasks)


def over_nets(found: Sequence[Estimate]) -> Estimate:
    """The mean over the nets of one task."""
    return _mean(found, _over_nets)


def pooled_share(found: Sequence[Estimate]) -> Estimate:
    """The share over tasks, pooled as log odds; `n` is the number of samples in all."""
    return _share(found, _over_tasks)


def shares_over_nets(found: Sequence[Estimate]) -> Estimate:
    """The share over the nets of one task, as log odds."""
    return _share(found, _over_nets)


Combined = Callable[[Sequence[float], Sequence[float]], tuple[float, float]]


def _mean(found: Sequence[Estimate], combined: Combined) -> Estimate:
    _some(found)
    known = [e for e in found if math.isfinite(e.high - e.low)] or list(found)
    if len(known) < 2:
        return known[0]
    mean, half = combined([e.value for e in known], [(e.high - e.low) / 2 for e in known])
    bounds = {e.bound for e in known} - {""}
    bound = bounds.pop() if len(bounds) == 1 else ""
    n = sum(e.n for e in known)
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n, bound=bound)


def _share(found: Sequence[Estimate], combined: Combined) -> Estimate:
    _some(found)
    known = [e for e in found if e.n]
    if len(known) < 2:
        return known[0] if known else found[0]
    odds = [_odds(e) for e in known]
    middle, half = combined([o for o, _ in odds], [width for _, width in odds])
    value, low, high = (1 / (1 + math.exp(-o)) for o in (middle, middle - half, middle + half))
    return Estimate(value=value, low=low, high=high, n=sum(e.n for e in known))


def _some(found: Sequence[Estimate]) -> None:
    if not found:
        raise BadInput("got no estimates, expected one at least")


def _odds(e: Estimate) -> tuple[float, float]:
    """Log odds and half of their interval, from that of the share where it has two ends inside."""
    if e.low > 0.0 and e.high < 1.0:
        return _logit(e.value), (_logit(e.high) - _logit(e.low)) / 2
    kept, lost = e.value * e.n + EDGE, (1 - e.value) * e.n + EDGE
    return math.log(kept / lost), NORMAL * math.sqrt(1 / kept + 1 / lost)


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def _over_tasks(values: Sequence[float], halves: Sequence[float]) -> tuple[float, float]:
    """Mean, and half of its 95 % interval."""
    floor = math.sqrt(math.fsum(half * half for half in halves)) / len(halves)
    mean = paired_mean(values, floor=floor)
    return mean.value, mean.high - mean.value


def _over_nets(values: Sequence[float], halves: Sequence[float]) -> tuple[float, float]:
    k = len(values)
    mean = math.fsum(values) / k
    spread = math.fsum((v - mean) ** 2 for v in values) / (k - 1)
    within = math.fsum((half / NORMAL) ** 2 for half in halves) / k
    between = max(0.0, spread - within)
    return mean, NORMAL * math.sqrt((within + between) / k)
