"""B1: both contenders together cost no accuracy where nobody attacks: non-inferiority."""

from __future__ import annotations

from gradwarden.compare.claims.sides import beside
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "B1"
MARGIN = 0.02  # two points: a larger loss would be felt


def judge(results: Results, picks: Picks) -> Answer:
    return beside(
        results,
        picks.both,
        "clean",
        margin=MARGIN,
        id=ID,
        text="Both together cost no more accuracy where nobody attacks than one alone.",
        about="masking",
        sample=picks.words.sample,
    )
