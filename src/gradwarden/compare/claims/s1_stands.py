"""S1: of two defences, the first one leaves more right under the adaptive attack."""

from __future__ import annotations

from gradwarden.compare.claims.security import ADAPTIVE
from gradwarden.compare.claims.sides import beside
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "S1"
SMALLEST = 0.05  # points: less would not decide for a defence


def judge(results: Results, picks: Picks) -> Answer:
    return beside(
        results,
        [(a, b) for a in picks.masks for b in picks.rivals],
        ADAPTIVE,
        smallest=SMALLEST,
        id=ID,
        text=f"{sentence(picks.secure)} leaves more right under attack than {picks.rival}.",
        about="masking",
        sample=picks.words.sample,
    )
