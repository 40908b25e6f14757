"""H2, the control: a defence that hides nothing, held to the same test as masking in M2.

Source of the claim: Madry et al. 2018, arXiv:1706.06083.
"""

from __future__ import annotations

from gradwarden.compare.claims.security import ADAPTIVE, claim
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "H2"
CLAIM = "Control: adversarial training holds under the same test."


def judge(results: Results, picks: Picks) -> Answer:
    return claim(
        results,
        (picks.harden,),
        ADAPTIVE,
        id=ID,
        text=CLAIM,
        about="hardening",
        sample=picks.words.sample,
    )
