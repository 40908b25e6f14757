"""C4: clipping does so without compromising performance: a non-inferiority test."""

from __future__ import annotations

import math

from gradwarden.compare.claims.arms import MAIN, best_rate, table
from gradwarden.compare.claims.words import judged, not_run, times
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate, paired_mean

ID = "C4"
CLAIM = "Clipping does not compromise performance."
MARGIN = math.log(1.02)  # 2 % more bits per character would be a loss of quality
COLUMNS = ("best rate", "mean test bits", "by seed")


def judge(results: Results, picks: Picks) -> Answer:
    groups = ladders(results.trained)
    ladder = groups.get(MAIN)
    effect = quality(ladder, picks.clip) if ladder else None
    if ladder is None or effect is None:
        return not_run(ID, CLAIM, "clipping", "an arm has no rate at which every seed is finite")
    return judged(
        id=ID,
        claim=CLAIM,
        about="clipping",
        says=(
            f"Bits per character on the test split without clipping are {times(effect)} those "
            f"with {picks.clip}, each at its own best rate; a loss of quality would be below "
            f"{math.exp(-MARGIN):.3g} times."
        ),
        how=(
            "Log ratio of test bits per character, without over with clipping, same seed, each "
            "arm at the rate with the best validation bits. Non-inferiority: the null is a loss "
            "of 2 %, supported where the whole interval lies above it. Student's t over seeds."
        ),
        effect=effect,
        null=-MARGIN,
        smallest=0.0,
        unit="log ratio",
        table=table("Bits per character at the best rate", COLUMNS, groups, picks, _cells),
        figures=("rates-SGD",),
    )


def quality(ladder: Ladder, rule: str) -> Estimate | None:
    """Log ratio of test bits, no clipping over `rule`, each at its chosen rate."""
    bits: list[dict[int, float]] = []
    for arm in ("", rule):
        rate = ladder.chosen(arm)
        if rate is None:
            return None
        bits.append({r.seed: r.test for r in ladder.of(arm, [rate]) if r.test is not None})
    without, with_ = bits
    values = [math.log(without[s] / with_[s]) for s in sorted(without.keys() & with_.keys())]
    return paired_mean(values) if values else None


def _cells(ladder: Ladder, rule: str) -> tuple[str, ...]:
    rate = ladder.chosen(rule)
    runs = [] if rate is None else ladder.of(rule, [rate])
    bits = [r.test for r in runs if r.test is not None]
    mean = f"{sum(bits) / len(bits):.3f}" if bits else "-"
    return best_rate(ladder, rule), mean, ", ".join(f"{b:.3f}" for b in bits) or "-"
