"""What each attack costs a sample that never falls, from its options."""

from __future__ import annotations

from typing import NamedTuple

from gradwarden.attack.apgd import APGD, WIDE
from gradwarden.attack.capgd import CAPGD
from gradwarden.attack.eot import EOT
from gradwarden.attack.evolution import Evolution
from gradwarden.attack.fab import FAB
from gradwarden.attack.fmn import FMN
from gradwarden.attack.losses import EACH, IN_TURN
from gradwarden.attack.min_norm import HALVINGS
from gradwarden.attack.pgd import PGD
from gradwarden.attack.spsa import SPSA
from gradwarden.attack.square import Square
from gradwarden.attack.starts import STEPS
from gradwarden.attack.targeting import CANDIDATES
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack


class Price(NamedTuple):
    """Passes of one sample: what is spent on one that never falls, and at most on any other."""

    forwards: int
    backwards: int


def price(attack: Attack, classes: int) -> Price:
    """For an untargeted goal and a model of `classes` logits.

    At most, for FAB, FMN and a Square that gives up.
    """
    if isinstance(attack, APGD):
        return _apgd(attack, classes)
    if isinstance(attack, PGD):
        runs = attack.restarts * (len(IN_TURN) if attack.loss == EACH else 1)
        start = STEPS if attack.start == "adi" else 0
        looks = 2 if start else 1
        return Price(1 + runs * (attack.steps + start + looks), runs * (attack.steps + start))
    if isinstance(attack, CAPGD):
        found = APGD(steps=attack.steps, restarts=attack.restarts, loss=attack.loss, start="clean")
        return _apgd(found, classes)
    if isinstance(attack, EOT):
        one = price(attack.attack, classes)
        return Price(attack.draws * one.forwards, attack.draws * one.backwards)
    if isinstance(attack, FMN):
        return Price(1 + attack.steps + HALVINGS + 1, attack.steps)
    if isinstance(attack, FAB):
        runs = attack.restarts * min(attack.targets, max(1, classes - 1))
        return Price(1 + runs * (attack.steps + HALVINGS + 1), runs * attack.steps)
    queries = {
        Square: lambda a: a.restarts * a.queries,
        SPSA: lambda a: a.steps * (2 * a.pairs + 1),
        Evolution: lambda a: a.queries,
    }
    if type(attack) not in queries:
        raise BadInput(f"there is no price of {attack!r}")
    return Price(1 + queries[type(attack)](attack), 0)


def _apgd(attack: APGD, classes: int) -> Price:
    forwards, backwards, aims = 1, 0, 1
    if attack.targets is not None:
        looked_at = min(CANDIDATES, classes - 1) if attack.order == "malt" else 0
        forwards, backwards = forwards + 1 + looked_at, looked_at
        aims = min(attack.targets, classes - 1)
    runs = attack.restarts * aims * (len(IN_TURN) if attack.loss == EACH else 1)
    start = STEPS if attack.start == "adi" else 0
    looks = 1 + (len(WIDE) if attack.warm_up else 0) + (1 if start else 0)
    steps = attack.steps + start
    return Price(forwards + runs * (steps + looks), backwards + runs * steps)
