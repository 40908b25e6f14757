"""A1: without a defence, the model can be attacked.

Source of the claim: Szegedy et al. 2014, arXiv:1312.6199; Biggio et al. 2013, arXiv:1708.06131.
"""

from __future__ import annotations

from gradwarden.compare.claims.security import defended_by
from gradwarden.compare.claims.words import judged, not_run, share
from gradwarden.compare.picks import Picks
from gradwarden.compare.pooling import shares_over_nets
from gradwarden.compare.results import Defended, Results
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate, proportion

ID = "A1"
CLAIM = "Without a defence, the model can be attacked."
TENTH = 0.1  # of what the model gets right


def judge(results: Results, picks: Picks) -> Answer:
    runs = [run for run in defended_by(results, "") if "1" in run.clean]
    if not runs:
        return not_run(ID, CLAIM, "masking", "no attack on an undefended net")
    sample = picks.words.sample
    n = sum(run.clean.count("1") for run in runs)
    effect = shares_over_nets([_fallen(run) for run in runs])
    noise = n - sum(run.noise.count("1") for run in runs)
    return judged(
        id=ID,
        claim=CLAIM,
        about="masking",
        says=(
            f"Of {n} {sample}s that the undefended net gets right, an attacker takes "
            f"{share(effect)}; random noise of the same size takes {noise}."
        ),
        how=(
            f"Share of the {sample}s right without an attacker that fall to the adaptive attack. "
            "Null one tenth; exact Clopper-Pearson interval, pooled over seeds."
        ),
        effect=effect,
        null=TENTH,
        smallest=0.0,
        unit=f"share of {sample}s lost",
        scale="share",
        figures=("radius",),
    )


def _fallen(run: Defended) -> Estimate:
    n = run.clean.count("1")
    return proportion(n - run.adaptive.count("1"), n)
