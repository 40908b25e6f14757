"""K2, a control: masking does more under attack than the accuracy that it costs.

Source of the doubt: Tsipras et al. 2019, arXiv:1805.12152 (accuracy against robustness).
"""

from __future__ import annotations

from gradwarden.compare.claims.security import ADAPTIVE
from gradwarden.compare.claims.sides import beside
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "K2"
SMALLEST = 0.05  # points: less would not decide for a defence


def judge(results: Results, picks: Picks) -> Answer:
    return beside(
        results,
        [] if picks.matched is None else [picks.matched],
        ADAPTIVE,
        smallest=SMALLEST,
        id=ID,
        text=(
            f"Control: {picks.secure} does more under attack than a net that is as accurate without it."
        ),
        about="masking",
        sample=picks.words.sample,
    )
