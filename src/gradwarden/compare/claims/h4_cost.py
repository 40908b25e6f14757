"""H4: adversarial training costs no accuracy without an attacker: a non-inferiority test.

Source of the opposite: Tsipras et al. 2019, arXiv:1805.12152.
"""

from __future__ import annotations

from gradwarden.compare.claims.security import defended_by
from gradwarden.compare.claims.words import judged, not_run, points
from gradwarden.compare.picks import Picks
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import paired_mean

ID = "H4"
CLAIM = "Adversarial training costs no accuracy where nobody attacks."
MARGIN = 0.02  # two points: a larger loss would be felt


def judge(results: Results, picks: Picks) -> Answer:
    control, hardened = defended_by(results, ""), defended_by(results, picks.harden)
    if control is None or hardened is None:
        return not_run(ID, CLAIM, "hardening", "no hardened and undefended net side by side")
    pairs = zip(hardened.clean, control.clean, strict=True)
    effect = paired_mean([int(a) - int(b) for a, b in pairs])
    sample = picks.words.sample
    return judged(
        id=ID,
        claim=CLAIM,
        about="hardening",
        says=(
            f"Without an attacker the hardened net gets {_percent(hardened.clean)} of the {sample}s "
            f"right, the undefended one {_percent(control.clean)}, a difference of "
            f"{points(effect)}; under the adaptive attack {_percent(hardened.adaptive)} and "
            f"{_percent(control.adaptive)}."
        ),
        how=(
            f"Difference of the shares of {sample}s that are right without an attacker, hardened "
            f"minus undefended, on the same {sample}s. Non-inferiority: the null is a loss of 2 "
            f"points. Student's t over {sample}s."
        ),
        effect=effect,
        null=-MARGIN,
        smallest=0.0,
        unit="share",
        figures=("radius",),
    )


def _percent(bits: str) -> str:
    return f"{100 * bits.count('1') / len(bits):.0f} %"
