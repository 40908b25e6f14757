"""C4: clipping does so without compromising performance: a non-inferiority test."""

from __future__ import annotations

import math

from gradwarden.compare.claims.arms import best_rate, table
from gradwarden.compare.claims.words import judged, not_run, times
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate, paired_mean

ID = "C4"
WHY_NOT = "an arm has no rate at which every seed is finite, or a figure that is not above 0"
MARGIN = math.log(1.02)  # a figure that is worse by 2 % would be a loss of quality


def judge(results: Results, picks: Picks) -> Answer:
    words = picks.words
    groups = ladders(results.trained, higher=words.higher)
    ladder = groups.get(picks.main)
    effect = quality(ladder, picks) if ladder else None
    if ladder is None or effect is None:
        return not_run(ID, claim(picks), "clipping", WHY_NOT)
    arms = (picks.against, f"with {picks.clip}")
    over, under = reversed(arms) if words.higher else arms  # above 1: the pick did better
    order = f"{over} over {under}"
    columns = ("best rate", f"mean test {words.short}", "by seed")
    title = f"{sentence(words.figure)} at the best rate"
    return judged(
        id=ID,
        claim=claim(picks),
        about="clipping",
        says=(
            f"{sentence(words.figure)} on the test split {over}: "
            f"{times(effect)} the figure {under}, each at its own best rate; a loss of quality "
            f"would be below {math.exp(-MARGIN):.3g} times."
        ),
        how=(
            f"Log ratio of test {words.figure}, {order}, same seed, each arm at the rate with the "
            f"best validation {words.short}. Non-inferiority: the null is a loss of 2 %, supported "
            "where the whole interval lies above it. Student's t over seeds."
        ),
        effect=effect,
        null=-MARGIN,
        smallest=0.0,
        unit="log ratio",
        table=table(title, columns, groups, picks, _cells),
        figures=(f"rates-{picks.main[1]}",),
    )


def claim(picks: Picks) -> str:
    if picks.other:
        return f"{sentence(picks.train)} reaches no worse a performance than {picks.other}."
    return f"{sentence(picks.train)} does not compromise performance."


def quality(ladder: Ladder, picks: Picks) -> Estimate | None:
    """Log ratio of test figures, above 0 where the pick did better; each at its chosen rate."""
    bits: list[dict[int, float]] = []
    for arm in (picks.base, picks.clip):
        rate = ladder.chosen(arm)
        if rate is None:
            return None
        bits.append({r.seed: r.test for r in ladder.of(arm, [rate]) if r.test is not None})
    over, under = reversed(bits) if ladder.higher else bits
    pairs = [(over[s], under[s]) for s in sorted(over.keys() & under.keys())]
    if not pairs or min(map(min, pairs)) <= 0.0:
        return None
    return paired_mean([math.log(a / b) for a, b in pairs])


def _cells(ladder: Ladder, rule: str) -> tuple[str, ...]:
    rate = ladder.chosen(rule)
    runs = [] if rate is None else ladder.of(rule, [rate])
    bits = [r.test for r in runs if r.test is not None]
    mean = f"{sum(bits) / len(bits):.3f}" if bits else "-"
    return best_rate(ladder, rule), mean, ", ".join(f"{b:.3f}" for b in bits) or "-"
