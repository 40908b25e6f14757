"""Puts what each budget of the audit runs, and what that costs, into the pages."""

import math
from collections.abc import Iterator
from dataclasses import fields
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.budgets import stages
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.hop_skip_jump import FINEST, HALVINGS, HopSkipJump
from gradwarden.attack.noise import Noise
from gradwarden.attack.prices import Price, price
from gradwarden.audit.budgets import NAIVE, Budget, budget_of
from gradwarden.audit.stages import follows
from gradwarden.core.balls.linf import Linf
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat

ALL, STAND = "all", "who stands"


def on_page_markdown(markdown: str, **_: object) -> str:
    """`{{ audit quick }}` on a line of its own becomes the table of that budget."""
    return "\n".join(
        table(line.split()[2]) if line.startswith("{{ audit ") else line
        for line in markdown.splitlines()
    )


class Row(NamedTuple):
    """One attack of one stage."""

    stage: str
    attack: Attack
    on: str
    price: Price


def table(name: str) -> str:
    """Markdown, for ten classes in Linf. Raises BadInput for a name that no budget has."""
    found = list(rows(budget_of(name), Threat(ball=Linf(0.1)), torch.rand(1, 1, 28, 28), 10))
    lines = ["| stage | attack | on | forwards | backwards |", "|---|---|---|---|---|"]
    for row in found:
        spent = f"{row.price.forwards:,} | {row.price.backwards:,}"
        lines.append(f"| {row.stage} | `{call(row.attack)}` | {row.on} | {spent} |")
    whole = [row.price for row in found if row.on in (ALL, STAND)]
    forwards, backwards = (sum(getattr(p, way) for p in whole) for way in Price._fields)
    lines.append(f"| | **{name}**, of all who stand | | **{forwards:,}** | **{backwards:,}** |")
    return "\n".join(lines)


def rows(budget: Budget, threat: Threat, x: Tensor, classes: int) -> Iterator[Row]:
    """In the order run, for a model that does not draw and hides nothing."""

    def row(stage: str, attack: Attack, on: str) -> Row:
        return Row(stage, attack, on, cost(attack, classes))

    searches = [found.attack for found in stages(budget.name, threat, x, classes)]
    yield row("noise", budget.noise, ALL)
    yield from (row("naive", attack, ALL) for attack in NAIVE)
    yield from (row("full search", attack, STAND) for attack in searches if follows(attack))
    yield from (row("queries", attack, STAND) for attack in searches if not follows(attack))
    yield row("random points", budget.noise, STAND)
    if budget.decisions is not None:
        yield row("decisions", budget.decisions, f"{budget.deciding} who stand")
    yield row("twice as long", budget.longer, f"{budget.converging} who stand")


def cost(attack: Attack, classes: int) -> Price:
    """What a sample that never falls costs; of decisions, at most."""
    if isinstance(attack, Noise):
        return Price(1 + attack.draws, 0)
    if isinstance(attack, FGSM):
        return Price(3, 1)  # at x, along the gradient at x, and there
    if isinstance(attack, HopSkipJump):
        asked = sum(_asked(attack, step) for step in range(attack.steps))
        looks = (attack.steps + 1) * (FINEST + 1) + attack.steps * HALVINGS
        return Price(1 + attack.tries + asked + looks, 0)
    return price(attack, classes)


def _asked(attack: HopSkipJump, step: int) -> int:
    return min(math.ceil(attack.first * math.sqrt(step + 1)), attack.most)


def call(attack: Any) -> str:
    """As it is written in a call, without what is as by default."""
    given = [(f.name, getattr(attack, f.name)) for f in fields(attack)]
    default = {f.name: f.default for f in fields(attack)}
    changed = [f"{name}={value!r}" for name, value in given if value != default[name]]
    return f"{type(attack).__name__}({', '.join(changed)})"
