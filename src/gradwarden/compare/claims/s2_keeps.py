"""S2: of two defences, the first one keeps more accuracy where nobody attacks: non-inferiority."""

from __future__ import annotations

from gradwarden.compare.claims.sides import beside
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "S2"
MARGIN = 0.02  # two points: a larger loss would be felt


def judge(results: Results, picks: Picks) -> Answer:
    return beside(
        results,
        [(a, b) for a in picks.masks for b in picks.rivals],
        "clean",
        margin=MARGIN,
        id=ID,
        text=f"{sentence(picks.secure)} costs no more accuracy than {picks.rival} where nobody attacks.",
        about="masking",
        sample=picks.words.sample,
    )
