"""What an attack climbs, by name. One name, one row.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. V.A (the margin of logits).
Differs: the margin is not cut off at 0.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from gradwarden.core.errors import BadInput
from gradwarden.core.search import Loss
from gradwarden.core.threat import Goal


def _cross_entropy(goal: Goal) -> Callable[[Tensor, Tensor], Tensor]:
    return goal.loss


def _margin(goal: Goal) -> Callable[[Tensor, Tensor], Tensor]:
    return goal.margin


LOSSES: dict[str, Callable[[Goal], Loss]] = {"cross-entropy": _cross_entropy, "margin": _margin}


def check_loss(name: str) -> None:
    if name not in LOSSES:
        raise BadInput(f"loss must be one of {', '.join(LOSSES)}, got {name!r}")


def loss_of(goal: Goal, name: str) -> Loss:
    """The loss called `name`, of `goal`."""
    check_loss(name)
    return LOSSES[name](goal)
