"""C2: clipping allows larger learning rates.

A larger nominal rate alone may only be a smaller step in disguise, so the claim has two parts: the
nominal rate, and the effective one (rate times the mean clipping coefficient).
"""

from __future__ import annotations

import math
from dataclasses import replace

from gradwarden.compare.claims.arms import rates, table
from gradwarden.compare.claims.words import from_parts, judged, not_run, times
from gradwarden.compare.ladder import SLACK, Ladder, Rung, ladders
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate, paired_mean

ID = "C2"
COLUMNS = ("rates tried", "largest stable, by seed", "effective, by seed")
NOTE = "+: the ladder ends here; none: not even the lowest rate was stable."


def judge(results: Results, picks: Picks) -> Answer:
    groups = ladders(results.trained, higher=picks.words.higher)
    whole = groups.get(picks.main)
    ladder = whole.between(picks.base, picks.clip) if whole else None
    tried = ladder.rates(picks.base, picks.clip) if ladder else []
    if ladder is None or len(tried) < 2:
        why = f"no ladder of rates with {picks.train} and {picks.against}"
        return not_run(ID, claim(picks), "clipping", why)
    nominal, effective = (ratio(ladder, picks, measure) for measure in ("rate", "effective"))
    if nominal is None or effective is None:
        tops = [
            ladder.top(arm, seed, tried)
            for arm in (picks.base, picks.clip)
            for seed in ladder.seeds
        ]
        none = all(top.bound == "at most" for top in tops)
        why = "no rate is stable" if none else "both arms are stable up to the ladder's end"
        return not_run(ID, claim(picks), "clipping", why)
    step = ladder.step(picks.base, picks.clip)
    parts = (
        _part(1, "nominal", nominal, step, picks),
        _part(2, "effective", effective, step, picks),
    )
    return from_parts(
        id=ID,
        claim=claim(picks),
        about="clipping",
        says=(
            f"The largest stable rate with {picks.clip} is {times(nominal)} that {picks.against}; "
            f"the effective rate, at which the steps are really taken, {times(effective)}."
        ),
        how=(
            "Log ratio of the largest stable rates of the same seed (stable: not diverged, "
            f"validation {picks.words.short} at {bar(picks)} of any arm), on the ladder "
            f"{', '.join(f'{r:g}' for r in tried)}. The interval is Student's t over seeds and "
            f"never narrower than one rung (a factor of {math.exp(step):.2f}) to either side. "
            "Counts only together with C3 and C4."
        ),
        parts=parts,
        table=table("Largest stable rates", COLUMNS, groups, picks, _cells, NOTE),
        figures=(f"rates-{picks.main[1]}", "rates-AdamW"),
    )


def claim(picks: Picks) -> str:
    than = f" than {picks.other}" if picks.other else ""
    return f"{sentence(picks.train)} allows larger learning rates{than}."


def bar(picks: Picks) -> str:
    """What a stable run must reach: "most 1.1 times the best"."""
    return (
        f"least 1/{SLACK:g} times the best"
        if picks.words.higher
        else f"most {SLACK:g} times the best"
    )


def depends(answers: dict[str, Answer]) -> Answer:
    """C2 counts only where C3 and C4 are supported too: a rate is no end in itself."""
    held = all(answers[id].answer == "supported" for id in ("C3", "C4"))
    return replace(answers[ID], counts=held)


def ratio(ladder: Ladder, picks: Picks, measure: str) -> Estimate | None:
    """Log ratio of the largest stable rates, of the pick over its base; None where both are open."""
    shared = ladder.rates(picks.base, picks.clip)
    values, bounds = [], set()
    for seed in ladder.seeds:
        over, under = (ladder.top(arm, seed, shared) for arm in (picks.clip, picks.base))
        bound = _bound(over, under)
        if bound is not None:
            values.append(math.log(getattr(over, measure) / getattr(under, measure)))
            bounds.add(bound)
    if not values:
        return None
    bounds.discard("")
    # Bounds to both sides say nothing about either; then the figure stands as it was measured.
    estimate = paired_mean(values, floor=ladder.step(picks.base, picks.clip))
    return replace(estimate, bound=bounds.pop() if len(bounds) == 1 else "")


def _bound(over: Rung, under: Rung) -> str | None:
    """How far the ratio of two rungs is known; None where it is not known at all."""
    if over.bound == under.bound:
        return "" if over.bound == "" else None
    if over.bound == "at least" or under.bound == "at most":
        return "at least"
    return "at most"


def _part(n: int, kind: str, effect: Estimate, step: float, picks: Picks) -> Answer:
    return judged(
        id=f"{ID}.{n}",
        claim=f"{sentence(picks.train)} allows a larger {kind} learning rate.",
        about="clipping",
        says=f"{kind.capitalize()} rate with {picks.clip}: {times(effect)} that {picks.against}.",
        how=f"Log ratio of the largest stable {kind} rates; null 0, smallest effect one rung.",
        effect=effect,
        null=0.0,
        smallest=step,
        unit="log ratio",
        subject=f"{kind} rate",
    )


def _cells(ladder: Ladder, rule: str) -> tuple[str, ...]:
    own = ladder.between(rule)
    tops = [own.top(rule, seed, own.rates(rule)) for seed in own.seeds]
    shown = ", ".join(_rung(top) for top in tops)
    return rates(ladder, rule), shown, ", ".join(f"{top.effective:.3g}" for top in tops)


def _rung(rung: Rung) -> str:
    if rung.bound == "at most":
        return "none"
    return f"{rung.rate:g}{'+' if rung.bound else ''}"
