"""What an attack climbs, by name. One name, one row.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. V.A (the margin of logits).
Differs: the margin is not cut off at 0.
"""

from __future__ import annotations

from collections.abc import Callable

from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Goal
from gradwarden.core.search import Loss


def _cross_entropy(goal: Goal) -> Loss:
    return lambda logits, y, aim: goal.loss(logits, y)


def _margin(goal: Goal) -> Loss:
    return lambda logits, y, aim: goal.margin(logits, y)


LOSSES: dict[str, Callable[[Goal], Loss]] = {"cross-entropy": _cross_entropy, "margin": _margin}


def check_loss(name: str) -> None:
    if name not in LOSSES:
        raise BadInput(f"loss must be one of {', '.join(LOSSES)}, got {name!r}")


def loss_of(goal: Goal, name: str) -> Loss:
    """The loss called `name`, of `goal`."""
    check_loss(name)
    return LOSSES[name](goal)
