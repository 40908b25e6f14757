"""M2: masking makes the model secure, against an attacker who adapts to it.

Source of the test: Athalye et al. 2018, arXiv:1802.00420; Tramer et al. 2020, arXiv:2002.08347.
"""

from __future__ import annotations

from gradwarden.compare.claims.security import ADAPTIVE, claim
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "M2"
CLAIM = "Masking makes the model secure."


def judge(results: Results, picks: Picks) -> Answer:
    return claim(
        results,
        picks.masks,
        ADAPTIVE,
        id=ID,
        text=CLAIM,
        about="masking",
        sample=picks.words.sample,
    )
