"""C5: clipping is essential: without it, no rate does as well.

Source of the claim: Pascanu et al. 2013, arXiv:1211.5063; Huang et al. 2022 (PPO); what this refutes is
that a well-chosen rate does as well.
"""

from __future__ import annotations

import math

from gradwarden.compare.claims.arms import best_rate
from gradwarden.compare.claims.c4_quality import quality
from gradwarden.compare.claims.words import judged, not_run, times
from gradwarden.compare.ladder import ladders
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "C5"
GAIN = math.log(1.05)  # a figure that is better by less than 5 % is a matter of taste
WHY_NOT = "an arm has no rate at which every seed is finite, or a figure that is not above 0"


def judge(results: Results, picks: Picks) -> Answer:
    groups = ladders(results.trained, higher=picks.words.higher)
    ladder = groups.get(picks.main)
    effect = quality(ladder, picks) if ladder else None
    if ladder is None or effect is None:
        return not_run(ID, claim(picks), "clipping", WHY_NOT)
    words = picks.words
    return judged(
        id=ID,
        claim=claim(picks),
        about="clipping",
        says=(
            f"At its best rate ({best_rate(ladder, picks.clip)}) training with {picks.clip} is "
            f"{times(effect)} as good in {words.figure} as {picks.against} at its own "
            f"({best_rate(ladder, picks.base)}); essential would be 1.05 times or more."
        ),
        how=(
            f"Log ratio of test {words.figure}, above 0 where {picks.clip} did better, same seed, "
            f"each arm at the rate with the best validation {words.short}. The null is a gain of "
            "5 %: supported where the whole interval lies above it, refuted where it lies below. "
            "Student's t over seeds."
        ),
        effect=effect,
        null=GAIN,
        smallest=0.0,
        unit="log ratio",
        figures=(f"rates-{picks.main[1]}",),
    )


def claim(picks: Picks) -> str:
    if picks.other:
        return f"{sentence(picks.train)} does better than {picks.other} by a twentieth or more."
    return f"{sentence(picks.train)} is essential: no learning rate does as well without it."
