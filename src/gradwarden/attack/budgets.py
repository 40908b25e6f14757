"""What `evaluate` runs by default: a table of stages for each budget, cheap ones first.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, sec. 5; Liu et al. 2022 (A3),
arXiv:2203.05154 (starts, margin); Pintor et al. 2021 (FMN), arXiv:2102.12827.
Differs: on adversarially trained nets a minimum-norm search from x breaks what ascent inside the
ball does not, at a tenth of the passes, and many short ascents from A3's starts break more than
few long ones or classes to aim at; so they come in this order.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Self

from torch import Tensor

from gradwarden.attack.apgd import APGD
from gradwarden.attack.capgd import CAPGD
from gradwarden.attack.eot import EOT
from gradwarden.attack.evolution import Evolution
from gradwarden.attack.fab import FAB
from gradwarden.attack.fmn import FMN
from gradwarden.attack.gradient import gradient_status
from gradwarden.attack.min_norm_units import units_of
from gradwarden.attack.pgd import PGD
from gradwarden.attack.prices import Price, price
from gradwarden.attack.spsa import SPSA
from gradwarden.attack.square import Square
from gradwarden.core.balls.l1 import L1
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Model
from gradwarden.core.threat import Threat

BUDGETS = ("quick", "standard", "thorough")
ASKED = 64  # samples that show whether there is a gradient
FIRST = APGD(loss="margin", steps=10, start="clean")
PROBE = Square(queries=100)  # what it breaks beyond the rest tells of a hidden gradient


def short(steps: int, restarts: int, loss: str = "probability-margin") -> PGD:
    """Whole-ball steps that shrink to nothing, from points that A3's random walks lead to."""
    return PGD(
        steps=steps,
        step_size=1.0,
        restarts=restarts,
        loss=loss,
        schedule="cosine",
        start="adi",
    )


WITH_GRADIENT: dict[str, tuple[Attack, ...]] = {
    "quick": (FIRST, PROBE, FMN(steps=40), short(25, 1)),
    "standard": (
        FIRST,
        PROBE,
        FMN(steps=100),
        short(25, 6),
        APGD(loss="each", steps=10),
        Square(give_up=True),
    ),
    "thorough": (
        FIRST,
        PROBE,
        FMN(steps=300),
        short(50, 9),
        short(50, 9, "margin"),
        APGD(loss="dlr", steps=100, targets=9, order="malt"),
        APGD(loss="each", steps=100),
        FAB(steps=100, targets=9),
        Square(queries=5000),
    ),
}
WITHOUT_GRADIENT: dict[str, tuple[Attack, ...]] = {
    "quick": (Square(queries=300),),
    "standard": (Square(queries=2000), SPSA(steps=30, pairs=32)),
    "thorough": (Square(queries=10_000, restarts=2), SPSA(steps=100, pairs=64)),
}
CONSTRAINED: dict[str, tuple[Attack, ...]] = {
    "quick": (CAPGD(), Evolution(queries=100)),
    "standard": (
        CAPGD(),
        CAPGD(loss="margin", steps=40, restarts=4),
        Evolution(queries=1000),
    ),
    "thorough": (
        CAPGD(),
        CAPGD(loss="margin", steps=100, restarts=10),
        CAPGD(loss="dlr", steps=100, restarts=10),
        Evolution(queries=10_000, population=20),
    ),
}
DRAWING: dict[str, tuple[Attack, ...]] = {
    "quick": (EOT(attack=APGD(loss="margin", steps=10), draws=10),),
    "standard": (
        EOT(attack=APGD(loss="margin", steps=10), draws=10),
        EOT(attack=APGD(loss="margin", steps=40, restarts=2), draws=20),
        EOT(attack=Square(queries=100), draws=16),
    ),
    "thorough": (
        EOT(attack=APGD(loss="margin", steps=10), draws=10),
        EOT(attack=APGD(loss="margin", steps=100, restarts=4), draws=40),
        EOT(attack=APGD(loss="each", steps=40), draws=40),
        EOT(attack=Square(queries=1000), draws=16),
    ),
}


class Plan(NamedTuple):
    """The attacks of a cascade, and what each costs a sample that never falls."""

    attacks: tuple[Attack, ...]
    costs: tuple[int, ...] | None = None  # a backward pass counts two
    notes: tuple[str, ...] = ()
    forwards: int = 0  # that the choice took
    backwards: int = 0

    @classmethod
    def of(cls, attacks: Sequence[Attack]) -> Self:
        """The caller's own."""
        return cls(tuple(attacks))


class Row(NamedTuple):
    """One stage of a budget, and what a sample that stands before it costs at most."""

    attack: Attack
    price: Price


def stages(
    budget: str,
    threat: Threat,
    x: Tensor,
    classes: int,
    *,
    gradient: bool = True,
    random: bool = False,
) -> tuple[Row, ...]:
    """The table for a model of `classes` logits on x [N, ...]; Raises BadInput for other budgets.

    `gradient`: whether any sample has one; `random`: whether the model draws by itself.
    """
    if budget not in BUDGETS:
        raise BadInput(f"budget must be one of {', '.join(BUDGETS)}, got {budget!r}")
    if threat.constraints is not None:
        chosen = CONSTRAINED[budget] if gradient else (CONSTRAINED[budget][-1],)
        return _priced(_drawn(chosen) if random else chosen, classes)
    if random:
        drawing = DRAWING[budget]
        chosen = drawing if gradient else _drawn((WITHOUT_GRADIENT[budget][0],))
        return _priced(chosen, classes)
    chosen = WITH_GRADIENT[budget] if gradient else WITHOUT_GRADIENT[budget]
    fits = [attack for attack in chosen if _fits(attack, threat, x)]
    return _priced([_suited(attack, threat) for attack in fits], classes)


def _priced(attacks: Sequence[Attack], classes: int) -> tuple[Row, ...]:
    return tuple(Row(attack, price(attack, classes)) for attack in attacks)


def _drawn(attacks: Sequence[Attack]) -> tuple[Attack, ...]:
    return tuple(EOT(attack=attack, draws=16) for attack in attacks)


def _fits(attack: Attack, threat: Threat, x: Tensor) -> bool:
    """Whether a search for the nearest success can measure in the threat's ball."""
    norms = {FMN: (0.0, 1.0, 2.0, float("inf")), FAB: (1.0, 2.0, float("inf"))}
    known = norms.get(type(attack))
    if known is None:
        return True
    try:
        units_of(threat, x, known, type(attack).__name__)
    except BadInput:
        return False
    return True


def _suited(attack: Attack, threat: Threat) -> Attack:
    """In L1, whose steps must grow sparse, APGD; and long searches first go through wider balls."""
    if not isinstance(threat.ball, L1):
        return attack
    if isinstance(attack, PGD):
        attack = APGD(
            steps=attack.steps, restarts=attack.restarts, loss=attack.loss, start=attack.start
        )
    if isinstance(attack, APGD) and attack.steps >= 20:
        return replace(attack, warm_up=True)
    return attack


def plan(
    budget: str,
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    classes: int,
    *,
    random: bool,
) -> Plan:
    """The stages for this model: without any usable gradient those that need none."""
    some = slice(None, None, max(1, len(x) // ASKED))
    seen = x[some][:ASKED]
    status = gradient_status(model, seen, y[some][:ASKED], threat, loss="margin")
    found = status.share_nonzero > 0
    rows = stages(budget, threat, x, classes, gradient=found, random=random)
    note = "no sample has a usable gradient: attacked by queries alone"
    return Plan(
        tuple(row.attack for row in rows),
        tuple(row.price.forwards + 2 * row.price.backwards for row in rows),
        () if found else (note,),
        forwards=2 * len(seen),
        backwards=len(seen) - round(status.share_none * len(seen)),
    )
