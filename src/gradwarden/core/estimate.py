"""Numbers with intervals: proportions, paired means, and whether they settle a question.

SciPy's special functions are imported on use, so that reading a record needs neither.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from gradwarden.core.errors import BadInput

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """`value` with its 95 % interval [low, high] from `n` observations.

    `bound` is "" for a measured value; "at least" or "at most" where the measurement ended at the
    edge of what was tried, so that the truth lies beyond on that side.
    """

    value: float
    low: float
    high: float
    n: int
    bound: str = ""

    def __post_init__(self) -> None:
        if not self.low <= self.value <= self.high:
            raise BadInput(f"low <= value <= high must hold, got {self}")
        if self.bound not in ("", "at least", "at most"):
            raise BadInput(f"bound must be '', 'at least' or 'at most', got {self.bound!r}")


def proportion(successes: int, n: int, level: float = LEVEL) -> Estimate:
    """Share of `n` with its exact interval; the interval is [0, 1] where n is 0.

    Source: Clopper & Pearson 1934, Biometrika 26(4).
    """
    if not 0 <= successes <= n:
        raise BadInput(f"successes must be in [0, n], got {successes} of {n}")
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    low = float(betaincinv(successes, n - successes + 1, tail)) if successes else 0.0
    high = float(betaincinv(successes + 1, n - successes, 1 - tail)) if successes < n else 1.0
    value = successes / n if n else 0.5
    return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)


def paired_mean(values: Sequence[float], *, floor: float = 0.0, level: float = LEVEL) -> Estimate:
    """Mean of paired differences, one a seed, with Student's t interval over the seeds.

    `floor`: the interval reaches at least that far to either side, for quantities that are only
    known to a resolution (one rung of a ladder). One value alone has no interval: it is infinite.
    """
    n = len(values)
    if n == 0:
        raise BadInput("got no values, expected one paired difference a seed")
    if not all(map(math.isfinite, values)):
        raise BadInput(f"paired differences must be finite, got {list(values)}")
    mean = math.fsum(values) / n
    if n == 1:
        return Estimate(value=mean, low=-math.inf, high=math.inf, n=1)
    from scipy.special import stdtrit

    spread = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = max(float(stdtrit(n - 1, (1 + level) / 2)) * spread / math.sqrt(n), floor)
    return Estimate(value=mean, low=mean - half, high=mean + half, n=n)


def paired_shares(both: int, only_first: int, only_second: int, neither: int) -> Estimate:
    """Share right in the first minus that in the second, on the same samples.

    The four counts are of samples that are right in both, in one alone, in neither. The 95 %
    interval has a width where none differs, too.

    Source: Newcombe 1998, Statistics in Medicine 17(22), method 10: Wilson's intervals of the two
    shares, joined by their correlation.
    """
    counts = (both, only_first, only_second, neither)
    n = sum(counts)
    if min(counts) < 0 or n < 1:
        raise BadInput(f"counts must be at least 0, and one above, got {counts}")
    first, second = both + only_first, both + only_second
    p, q = first / n, second / n
    (low_p, high_p), (low_q, high_q) = _wilson(first, n), _wilson(second, n)
    margins = first * (n - first) * second * (n - second)
    excess = both * neither - only_first * only_second
    surely = max(excess - n / 2, 0.0) if excess > 0 else float(excess)
    joint = surely / math.sqrt(margins) if margins else 0.0

    def reach(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one - 2 * joint * one * other + other * other))

    value = (only_first - only_second) / n
    low, high = value - reach(p - low_p, high_q - q), value + reach(high_p - p, q - low_q)
    return Estimate(value=value, low=max(-1.0, low), high=min(1.0, high), n=n)


def _wilson(k: int, n: int) -> tuple[float, float]:
    """Source: Wilson 1927, J. Amer. Statist. Assoc. 22(158)."""
    z = 1.959963984540054
    middle = (k + z * z / 2) / (n + z * z)
    half = z / (n + z * z) * math.sqrt(k * (n - k) / n + z * z / 4)
    return max(0.0, middle - half), min(1.0, middle + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value for discordant pairs.

    Source: McNemar 1947, Psychometrika 12(2); the binomial form, no approximation.
    """
    if min(only_first, only_second) < 0:
        raise BadInput(f"counts must be at least 0, got {only_first} and {only_second}")
    from scipy.special import bdtr

    n = only_first + only_second
    return min(1.0, 2.0 * float(bdtr(min(only_first, only_second), n, 0.5))) if n else 1.0


def answer(estimate: Estimate, *, null: float, smallest: float) -> str:
    """Says "supported", "refuted" or "open".

    Supported where the whole interval lies above `null` and the value at least `smallest` above
    it; refuted where the whole interval lies below and the value at least `smallest` below. A
    value that is only a bound settles the side that it is a bound for.
    """
    if estimate.low > null and estimate.value - null >= smallest and estimate.bound != "at most":
        return "supported"
    if estimate.high < null and null - estimate.value >= smallest and estimate.bound != "at least":
        return "refuted"
    return "open"
