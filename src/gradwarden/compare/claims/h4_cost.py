"""H4: adversarial training costs no accuracy without an attacker: a non-inferiority test.

Source of the opposite: Tsipras et al. 2019, arXiv:1805.12152.
"""

from __future__ import annotations

from gradwarden.compare.claims.security import difference, paired, percent
from gradwarden.compare.claims.words import judged, not_run, points
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer

ID = "H4"
CLAIM = "Adversarial training costs no accuracy where nobody attacks."
MARGIN = 0.02  # two points: a larger loss would be felt


def judge(results: Results, picks: Picks) -> Answer:
    found = paired(results, "", picks.harden)
    if not found:
        return not_run(ID, CLAIM, "hardening", "no hardened and undefended net side by side")
    effect = difference([(hardened.clean, control.clean) for control, hardened in found])
    sample = picks.words.sample
    shares = {
        kind: [percent([getattr(pair[n], kind) for pair in found]) for n in (1, 0)]
        for kind in ("clean", "adaptive")
    }
    return judged(
        id=ID,
        claim=CLAIM,
        about="hardening",
        says=(
            f"Without an attacker the hardened net gets {shares['clean'][0]} of the {sample}s "
            f"right, the undefended one {shares['clean'][1]}, a difference of {points(effect)}; "
            f"under the adaptive attack {shares['adaptive'][0]} and {shares['adaptive'][1]}."
        ),
        how=(
            f"Difference of the shares of {sample}s that are right without an attacker, hardened "
            f"minus undefended, on the same {sample}s. Non-inferiority: the null is a loss of 2 "
            f"points. Newcombe's interval for paired shares; over several nets their mean."
        ),
        effect=effect,
        null=-MARGIN,
        smallest=0.0,
        unit="share",
        figures=("radius",),
    )
