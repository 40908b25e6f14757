"""A1: without a defence, the model can be attacked.

Source of the claim: Szegedy et al. 2014, arXiv:1312.6199; Biggio et al. 2013, arXiv:1708.06131.
"""

from __future__ import annotations

from gradwarden.compare.claims.security import defended_by
from gradwarden.compare.claims.words import judged, not_run, share
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import proportion

ID = "A1"
CLAIM = "Without a defence, the model can be attacked."
TENTH = 0.1  # of what the model gets right


def judge(results: Results, picks: Picks) -> Answer:
    control = defended_by(results, "")
    if control is None or "1" not in control.clean:
        return not_run(ID, CLAIM, "masking", "no attack on an undefended net")
    sample = picks.words.sample
    n = control.clean.count("1")
    effect = proportion(n - control.adaptive.count("1"), n)
    return judged(
        id=ID,
        claim=CLAIM,
        about="masking",
        says=(
            f"Of {n} {sample}s that the undefended net gets right, an attacker takes "
            f"{share(effect)}; random noise of the same size takes {n - control.noise.count('1')}."
        ),
        how=(
            f"Share of the {sample}s right without an attacker that fall to the adaptive attack. "
            "Null one tenth; exact Clopper-Pearson interval."
        ),
        effect=effect,
        null=TENTH,
        smallest=0.0,
        unit=f"share of {sample}s lost",
        figures=("radius",),
    )
