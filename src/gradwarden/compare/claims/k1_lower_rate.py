"""K1, a control: clipping does more than the lower learning rate that it amounts to.

Source of the doubt: Zhang et al. 2020, arXiv:1905.11881 (clipping as a step size that adapts).
"""

from __future__ import annotations

import math

from gradwarden.compare.claims.words import judged, not_run, number, times
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results, Trained
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import paired_mean

ID = "K1"
SMALLEST = math.log(1.02)
NEAR = 0.02  # of the logarithm: rates are rounded to two digits


def judge(results: Results, picks: Picks) -> Answer:
    groups = ladders(results.trained, higher=picks.words.higher)
    ladder = groups.get(picks.main)
    rate = ladder.chosen(picks.clip) if ladder else None
    if ladder is None or rate is None:
        return not_run(
            ID, claim(picks), "clipping", "no rate at which every clipped seed is finite"
        )
    clipped = {run.seed: run for run in ladder.of(picks.clip, [rate])}
    effective = effective_rate(list(clipped.values()))
    if effective >= rate:
        why = f"the steps of {picks.clip} are no shorter than its rate says"
        return not_run(ID, claim(picks), "clipping", why)
    same = {run.seed: run for run in ladder.of("") if _near(run.rate, effective)}
    lost = sum(same[seed].diverged for seed in clipped if seed in same)
    pairs = [(run.test, same[seed].test) for seed, run in clipped.items() if seed in same]
    known = [(a, b) for a, b in pairs if a is not None and b is not None and min(a, b) > 0.0]
    if not known or lost or len(known) < len(pairs):
        why = f"no run without a treatment at the effective rate {effective:g}"
        if lost:
            why = f"at the effective rate {effective:g} without it {lost} of {len(pairs)} seeds diverge"
        return not_run(ID, claim(picks), "clipping", why)
    sign = 1.0 if picks.words.higher else -1.0
    effect = paired_mean([sign * math.log(a / b) for a, b in known])
    return judged(
        id=ID,
        claim=claim(picks),
        about="clipping",
        says=(
            f"At its best rate {rate:g} the steps with {picks.clip} are those of a rate of "
            f"{effective:g}; it is {times(effect)} as good in {picks.words.figure} as that rate "
            f"without it. {_nominal(ladder, rate)}"
        ),
        how=(
            f"Log ratio of test {picks.words.figure}, above 0 where {picks.clip} did better, same "
            "seed: at its best rate, against no treatment at the mean rate at which its steps were "
            "really taken. Null 0, smallest effect 2 %; Student's t over seeds."
        ),
        effect=effect,
        null=0.0,
        smallest=SMALLEST,
        unit="log ratio",
        figures=(f"rates-{picks.main[1]}",),
    )


def claim(picks: Picks) -> str:
    return f"Control: {picks.train} does better than simply a lower learning rate."


def effective_rate(runs: list[Trained]) -> float:
    """The mean over `runs`, to two digits: the rate of the control."""
    return float(f"{math.fsum(run.effective for run in runs) / len(runs):.2g}")


def _near(rate: float, wanted: float) -> bool:
    return abs(math.log(rate / wanted)) <= NEAR


def _nominal(ladder: Ladder, rate: float) -> str:
    runs = ladder.of("", [rate])
    lost = sum(run.diverged for run in runs)
    if not runs:
        return ""
    figures = [run.test for run in runs if run.test is not None and not run.diverged]
    mean = f", the others reach {number(math.fsum(figures) / len(figures))}" if figures else ""
    return f"At the nominal rate {rate:g} without it {lost} of {len(runs)} seeds diverge{mean}."
