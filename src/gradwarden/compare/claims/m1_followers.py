"""M1: masking stops attackers who follow the gradient.

Source of the claim: Papernot et al. 2017, arXiv:1602.02697, sec. 7 (what they call gradient masking).
"""

from __future__ import annotations

from gradwarden.compare.claims.security import FOLLOWER, claim
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "M1"


def judge(results: Results, picks: Picks) -> Answer:
    return claim(
        results,
        picks.masks,
        FOLLOWER,
        id=ID,
        text=f"{sentence(picks.secure)} stops attackers who follow the gradient.",
        about="masking",
        sample=picks.words.sample,
    )
