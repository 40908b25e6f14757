"""Attacks x threats x shapes x batch sizes: every pair of values in CI, every product under `full`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from itertools import combinations, product
from typing import NamedTuple

import pytest
import torch
from test_attacks import ATTACKS
from torch import Tensor, nn

from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.bounds import Bound, nested
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Targeted
from gradwarden.core.protocols import Attack
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Real
from gradwarden.core.threat import Threat

Shape = tuple[int, ...]
SHAPES: list[Shape] = [(6,), (2, 9), (1, 6, 6), (3, 5, 4)]
BATCHES = [1, 3, 8]
NAMES = list("abcdef")


def uneven(shape: Shape, more: float = 0.0) -> Bound:
    """One number for each element of a sample."""
    return nested(torch.linspace(0.5, 1.5, math.prod(shape)).view(shape) + more)


def table(shape: Shape) -> Threat:
    kinds = {"a": "none", "b": "increase"}
    features = tuple(Real(n, 0.0, 1.0, change=kinds.get(n, "any")) for n in NAMES)
    schema = Tabular(features=features, relations=("c + d <= 2",))
    return Threat(ball=Linf(0.3), box=schema.box, constraints=schema)


THREATS: dict[str, Callable[[Shape], Threat]] = {
    "Linf": lambda shape: Threat(ball=Linf(0.2)),
    "L2": lambda shape: Threat(ball=L2(0.5)),
    "L1": lambda shape: Threat(ball=L1(1.0)),
    "L0": lambda shape: Threat(ball=L0(2)),
    "patch": lambda shape: Threat(ball=Patch(shape=(2,))),
    "scaled": lambda shape: Threat(ball=Scaled(L2(0.4), uneven(shape))),
    "box by feature": lambda shape: Threat(
        ball=Linf(0.3), box=(uneven(shape, -2.0), uneven(shape, 1.0))
    ),
    "targeted": lambda shape: Threat(ball=Linf(0.3), goal=Targeted(1)),
    "table": table,
}
# What measures distances in norms alone refuses other balls, with a sentence that says so.
REFUSES = {
    "FAB": {"L0", "patch"},
    "FMN": {"patch"},
    "HopSkipJump": {"L1", "L0", "patch", "scaled"},
}


class Choice(NamedTuple):
    attack: int
    threat: str
    shape: Shape
    batch: int

    @property
    def possible(self) -> bool:
        return self.threat != "table" or self.shape == (6,)


def everything() -> Iterator[Choice]:
    for values in product(range(len(ATTACKS)), THREATS, SHAPES, BATCHES):
        if (choice := Choice(*values)).possible:
            yield choice


def pairs(choice: Choice) -> set[tuple[object, ...]]:
    return {(i, j, choice[i], choice[j]) for i, j in combinations(range(4), 2)}


def covering() -> list[Choice]:
    """Greedy: few choices in which every possible pair of values occurs."""
    left = set().union(*map(pairs, everything()))
    found = []
    for attack, threat in product(range(len(ATTACKS)), THREATS):
        some = [Choice(attack, threat, s, b) for s, b in product(SHAPES, BATCHES)]
        best = max((c for c in some if c.possible), key=lambda c: len(pairs(c) & left))
        left -= pairs(best)
        found.append(best)
    for choice in everything():
        if pairs(choice) & left:
            left -= pairs(choice)
            found.append(choice)
    return found


class Net(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        torch.manual_seed(len(shape))
        self.body = nn.Identity()  # which BPDA's row puts its stand-in for
        self.first, self.last = nn.Linear(math.prod(shape), 8), nn.Linear(8, 3)
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.last(torch.tanh(4 * self.first(self.body(x).flatten(1))))
        return logits


def hold(choice: Choice) -> None:
    attack: Attack = ATTACKS[choice.attack]
    threat, model = THREATS[choice.threat](choice.shape), Net(choice.shape)
    x = torch.rand(8, *choice.shape, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    y[0] = (y[0] + 1) % 3  # wrong from the start
    if choice.threat in REFUSES.get(type(attack).__name__, ()):
        with pytest.raises(BadInput):
            attack.run(model, x, y, threat)
        return
    parts = [
        attack.run(model, x[rows], y[rows], threat, ids=rows.tolist())
        for rows in torch.arange(8).split(choice.batch)
    ]
    x_adv, success, forwards = (
        torch.cat([getattr(part, name) for part in parts])
        for name in ("x_adv", "success", "forwards")
    )
    assert threat.allows(x_adv, x).all()
    with torch.no_grad():
        assert torch.equal(threat.goal.reached(model(x_adv), y), success)
        missed = threat.goal.reached(model(x), y)
    assert torch.equal(x_adv[missed], x[missed])
    assert (forwards >= 1).all()
    whole = attack.run(model, x, y, threat)
    assert torch.equal(whole.success, success)


@pytest.mark.parametrize("choice", covering(), ids=str)
def test_every_pair_of_values(choice: Choice) -> None:
    hold(choice)


@pytest.mark.full
@pytest.mark.parametrize("attack", range(len(ATTACKS)), ids=lambda i: repr(ATTACKS[i]))
def test_every_product(attack: int) -> None:
    for choice in everything():
        if choice.attack == attack:
            hold(choice)


def test_the_pairs_are_all_there() -> None:
    wanted = set().union(*map(pairs, everything()))
    assert set().union(*map(pairs, covering())) == wanted
    assert len(covering()) < len(list(everything())) / 4
