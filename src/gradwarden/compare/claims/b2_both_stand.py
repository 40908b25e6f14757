"""B2: both contenders together stand under attack as one alone does: non-inferiority."""

from __future__ import annotations

from gradwarden.compare.claims.security import ADAPTIVE
from gradwarden.compare.claims.sides import beside
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "B2"
MARGIN = 0.05  # points: less would not decide for a defence


def judge(results: Results, picks: Picks) -> Answer:
    return beside(
        results,
        picks.both,
        ADAPTIVE,
        margin=MARGIN,
        id=ID,
        text="Both together leave as much right under attack as one alone.",
        about="masking",
        sample=picks.words.sample,
    )
