"""C3: clipping makes training converge faster.

Source of the claim: Zhang et al. 2020, arXiv:1905.11881.
"""

from __future__ import annotations

import math
from dataclasses import replace

from gradwarden.compare.claims.arms import best_rate, table
from gradwarden.compare.claims.words import judged, not_run, times
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results, Trained
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate, paired_mean

ID = "C3"
SMALLEST = math.log(1.1)  # a tenth fewer steps
WHY_NOT = "no arm reached the target at its best rate"
COLUMNS = ("best rate", "steps to the target, by seed")


def judge(results: Results, picks: Picks) -> Answer:
    groups = ladders(results.trained, higher=picks.words.higher)
    ladder = groups.get(picks.main)
    effect = speedup(ladder, picks) if ladder else None
    if ladder is None or effect is None:
        none = bool(results.trained) and all(run.target is None for run in results.trained)
        why = "the task names no target loss" if none else WHY_NOT
        return not_run(ID, claim(picks), "clipping", why)
    return judged(
        id=ID,
        claim=claim(picks),
        about="clipping",
        says=(
            f"{sentence(picks.against)} training needs {times(effect)} the steps to the target that "
            f"it needs with {picks.clip}, each at its own best rate "
            f"({best_rate(ladder, picks.base)} and {best_rate(ladder, picks.clip)})."
        ),
        how=(
            "Log ratio of the steps until the mean of the last 10 training losses reaches "
            f"{picks.words.target}, {picks.against} over with {picks.clip}, same seed, each "
            f"arm at the rate with the best validation {picks.words.short}. A target not reached "
            "counts as the last step, and the ratio as a bound. Null 0, smallest effect a tenth; Student's t over seeds."
        ),
        effect=effect,
        null=0.0,
        smallest=SMALLEST,
        unit="log ratio",
        table=table("Steps to the target loss", COLUMNS, groups, picks, _cells),
        figures=("curves",),
    )


def claim(picks: Picks) -> str:
    than = f" than {picks.other} does" if picks.other else ""
    return f"{sentence(picks.train)} makes training converge faster{than}."


def speedup(ladder: Ladder, picks: Picks) -> Estimate | None:
    """Log ratio of steps to the target, base over pick; None where nothing is known."""
    arms = (picks.base, picks.clip)
    rates = {arm: ladder.chosen(arm) for arm in arms}
    values, bounds = [], set()
    for seed in ladder.seeds:
        slow, fast = (_run(ladder, arm, rates[arm], seed) for arm in arms)
        if slow is None or fast is None:
            continue
        reached = slow.steps_to_target, fast.steps_to_target
        if reached == (None, None):
            continue
        bounds.add("at least" if reached[0] is None else "at most" if reached[1] is None else "")
        values.append(math.log((reached[0] or slow.steps) / (reached[1] or fast.steps)))
    if not values:
        return None
    bounds.discard("")
    return replace(paired_mean(values), bound=bounds.pop() if len(bounds) == 1 else "")


def _run(ladder: Ladder, rule: str, rate: float | None, seed: int) -> Trained | None:
    if rate is None:
        return None
    return next((r for r in ladder.of(rule, [rate]) if r.seed == seed), None)


def _cells(ladder: Ladder, rule: str) -> tuple[str, ...]:
    rate = ladder.chosen(rule)
    runs = [] if rate is None else ladder.of(rule, [rate])
    steps = ["not reached" if (s := r.steps_to_target) is None else str(s) for r in runs]
    return best_rate(ladder, rule), ", ".join(steps) or "-"
