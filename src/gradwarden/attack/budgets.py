"""What `evaluate` runs by default: a table of stages for each budget, cheapest first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

from torch import Tensor

from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.pgd import PGD
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Model
from gradwarden.core.threat import Threat


class Plan(NamedTuple):
    """The attacks of a cascade, and what each costs a sample that never falls."""

    attacks: Sequence[Attack]
    costs: Sequence[int] | None = None
    notes: Sequence[str] = ()
    probes: int = 0  # forwards that the choice took

    @classmethod
    def of(cls, attacks: Sequence[Attack]) -> Self:
        """The caller's own."""
        return cls(tuple(attacks))


def plan(
    budget: str,
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    classes: int,
    draws: int,
    seed: int,
) -> Plan:
    return Plan((FGSM(), PGD(), PGD(loss="margin", restarts=2)))
