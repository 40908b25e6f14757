"""M2: masking makes the model secure, against an attacker who adapts to it.

Source of the test: Athalye et al. 2018, arXiv:1802.00420; Tramer et al. 2020, arXiv:2002.08347.
"""

from __future__ import annotations

from gradwarden.compare.claims.security import ADAPTIVE, claim
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "M2"


def judge(results: Results, picks: Picks) -> Answer:
    return claim(
        results,
        picks.masks,
        ADAPTIVE,
        id=ID,
        text=f"{sentence(picks.secure)} makes the model secure.",
        about="masking",
        sample=picks.words.sample,
    )
