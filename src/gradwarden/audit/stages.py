"""Which searches an audit runs, in which order: along the gradient first, then without one.

What follows the gradient comes first, so that what falls to queries, transfer or decisions alone
is what it missed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

from gradwarden.attack import budgets as searches
from gradwarden.attack.chance import seeded
from gradwarden.attack.eot import EOT
from gradwarden.attack.evolution import Evolution
from gradwarden.attack.gradient import gradient_status
from gradwarden.attack.prices import price
from gradwarden.attack.square import Square
from gradwarden.attack.transfer import Transfer
from gradwarden.audit.budgets import BLIND, OWN, Budget
from gradwarden.audit.planner import Adapted
from gradwarden.audit.route import Route
from gradwarden.audit.trail import Subject
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack

ASKED = 64  # samples that show whether there is a gradient


class Search(NamedTuple):
    """One line of the decomposition: attacks, and what is said of them."""

    name: str
    says: str
    module: str | None
    attacks: tuple[Attack, ...]


def follows(attack: Attack) -> bool:
    """Whether the attack asks for a gradient."""
    return not isinstance(attack, (*BLIND, Evolution))


def white_box(
    subject: Subject, adapted: Adapted, budget: Budget, classes: int, passable: bool
) -> Iterator[Search]:
    """The model's own gradient, each part of the route, the full search along all of it.

    `passable`: whether any sample has a gradient along the route.
    """
    own = Route(draws=adapted.route.draws)
    says = "a better search along the model's own gradient"
    if "margin" in adapted.cures:
        says = "climbing the margin of the logits in place of cross-entropy"
    if own.draws > 1:
        says = f"averaging {own.draws} draws of the model, to the surest point"
    if adapted.route.parts() or "margin" in adapted.cures or not passable:
        yield Search("own", says, None, (own.wrap(OWN),))
    if not passable:
        return
    for number, part in enumerate(adapted.route.parts()):
        if part.route != own:
            attack = part.route.wrap(budget.along)
            yield Search(f"part-{number}", part.says, part.module, (attack,))
    full = _full(subject, adapted.route, budget, classes)
    where = "that route" if adapted.route.parts() else "the model's own gradient"
    yield Search("full", f"the full search along {where}", None, full)
    others = tuple(other.wrap(budget.along) for other in adapted.others)
    yield Search("others", "the search along other routes", None, others)


def black_box(
    subject: Subject,
    budget: Budget,
    classes: int,
    passable: bool,
    sources: tuple[Transfer, ...],
) -> Iterator[Search]:
    """Queries, and points from other models."""
    rows = _rows(subject, budget, classes, gradient=passable)
    queries = tuple(attack for attack in rows if not follows(_bare(attack)))
    if subject.random and not any(isinstance(_bare(attack), Square) for attack in queries):
        queries = (EOT(attack=Square(queries=100), draws=16),)
    yield Search("queries", "queries without a gradient", None, queries)
    yield Search("transfer", "points found on another model", None, sources)


def costs(attacks: tuple[Attack, ...], classes: int) -> list[int]:
    """Passes that each costs a sample, for progress; a backward counts two."""
    return [_cost(attack, classes) for attack in attacks]


def _cost(attack: Attack, classes: int) -> int:
    inner = getattr(attack, "attack", None)
    if inner is not None:
        return int(getattr(attack, "draws", 1)) * _cost(inner, classes)
    try:
        one = price(attack, classes)
    except BadInput:  # what no budget of `evaluate` holds
        return 1
    return one.forwards + 2 * one.backwards


def _full(subject: Subject, route: Route, budget: Budget, classes: int) -> tuple[Attack, ...]:
    """What averages is dear: it is done in fewer searches, after all of those without."""
    near = tuple(route.wrap(attack) for attack in budget.drawing) if route.price > 1 else ()
    if route.draws > 1 and subject.threat.constraints is None:
        return near
    rows = _rows(subject, budget, classes, gradient=True)
    alone = replace(route, sigma=0.0)
    return (*(alone.wrap(_bare(row)) for row in rows if follows(_bare(row))), *near)


def _rows(subject: Subject, budget: Budget, classes: int, *, gradient: bool) -> tuple[Attack, ...]:
    rows = searches.stages(
        budget.name, subject.threat, subject.x, classes, gradient=gradient, random=subject.random
    )
    return tuple(row.attack for row in rows)


def _bare(attack: Attack) -> Attack:
    return attack.attack if isinstance(attack, EOT) else attack


def passable(subject: Subject, route: Route) -> bool:
    """Whether any sample has a gradient along `route`."""
    x, y = subject.x[:ASKED], subject.y[:ASKED]
    with route.applied(subject.model), seeded(x.device, subject.seed, "passable"):
        status = gradient_status(subject.model, x, y, subject.threat, loss="margin")
    return status.share_nonzero > 0
