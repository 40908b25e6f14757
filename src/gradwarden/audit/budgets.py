"""What an audit runs and what it spends, for each budget.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4; Pintor et al. 2022, arXiv:2106.09947 (steps,
restarts); Zimmermann et al. 2022, arXiv:2206.13991 (the test of the attack itself).
"""

from __future__ import annotations

from dataclasses import dataclass

from gradwarden.attack.apgd import APGD
from gradwarden.attack.budgets import short
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.hop_skip_jump import HopSkipJump
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.spsa import SPSA
from gradwarden.attack.square import Square
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack

NAIVE: tuple[Attack, ...] = (FGSM(), PGD())  # who follows the model's own gradient, once
OWN = APGD(loss="margin", steps=20, start="clean")  # better, and still the model's own gradient


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Attacks on everyone who stands, and on how many the tests of the audit itself are run."""

    name: str
    noise: Attack
    diagnosed: int  # samples that each module is looked at with
    probed: int  # survivors that candidate routes are tried on
    most_draws: int  # forwards that one gradient of a model that draws may cost
    lean: bool  # no averages, no float64; none is trained where another stand-in opens the model
    along: Attack  # each part of the route by itself, for the decomposition
    drawing: tuple[Attack, ...]  # the full search of a model that draws, its draws apart
    longer: Attack  # twice the full search: what it still finds says that it had not converged
    converging: int  # survivors that this is tried on
    decisions: Attack | None  # by the answered class alone
    deciding: int  # survivors that this is tried on
    students: int  # steps for which a stand-in for the whole model is trained; 0: none
    curved: int  # samples of the curve of accuracy against radius
    steps: int  # of the attacks of that curve, and of the binarisation test's
    queries: int  # of the attack without a gradient, on that curve
    binarised: int  # samples of the binarisation test; 0: not run
    inner: int  # points inside the ball, for each
    indicators: bool  # the published ones


BUDGETS: dict[str, Budget] = {
    "quick": Budget(
        name="quick",
        noise=Noise(draws=10),
        diagnosed=32,
        probed=16,
        most_draws=16,
        lean=False,
        along=APGD(loss="margin", steps=10, start="clean"),
        drawing=(APGD(loss="margin", steps=20),),
        longer=APGD(loss="margin", steps=50),
        converging=32,
        decisions=None,
        deciding=0,
        students=0,
        curved=16,
        steps=10,
        queries=50,
        binarised=0,
        inner=0,
        indicators=False,
    ),
    "standard": Budget(
        name="standard",
        noise=Noise(draws=20),
        diagnosed=64,
        probed=64,
        most_draws=40,
        lean=False,
        along=APGD(loss="margin", steps=20, start="clean"),
        drawing=(APGD(loss="margin", steps=40, restarts=2),),
        longer=short(50, 6),
        converging=100,
        decisions=HopSkipJump(steps=10, first=50, most=200),
        deciding=50,
        students=150,
        curved=100,
        steps=40,
        queries=200,
        binarised=64,
        inner=199,
        indicators=True,
    ),
    "thorough": Budget(
        name="thorough",
        noise=Noise(draws=1000),
        diagnosed=64,
        probed=128,
        most_draws=256,
        lean=False,
        along=APGD(loss="margin", steps=40, start="clean"),
        drawing=(
            APGD(loss="margin", steps=100, restarts=4),
            APGD(loss="each", steps=40),
        ),
        longer=short(100, 18),
        converging=200,
        decisions=HopSkipJump(),
        deciding=50,
        students=500,
        curved=200,
        steps=100,
        queries=1000,
        binarised=256,
        inner=999,
        indicators=True,
    ),
}
BLIND = (Noise, Square, SPSA, HopSkipJump)  # attacks that ask for no gradient


def budget_of(name: str) -> Budget:
    """Raises BadInput for a name that no budget has."""
    if name not in BUDGETS:
        raise BadInput(f"budget must be one of {', '.join(BUDGETS)}, got {name!r}")
    return BUDGETS[name]
