"""The attacks written for one defence, on functions whose answer is known by hand."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from gradwarden.attack.pgd import PGD
from gradwarden.attack.to_the_end import ToTheEnd
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat
from gradwarden.zoo.adaptive import Exhaustive
from gradwarden.zoo.development.tabular import middles


def table(x: Tensor) -> Tensor:
    """Class 1 at (2, 0, 1) alone, of three columns of codes 0 to 2."""
    hit = (x.round() == x.new_tensor([2.0, 0.0, 1.0])).all(1).to(x.dtype)
    return torch.stack([1 - hit, hit], 1)


CODES = Exhaustive(values=((0.0, 1.0, 2.0),) * 3)
EVERY = torch.tensor(list(itertools.product(range(3), repeat=3)), dtype=torch.float32)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_every_code_in_reach_is_tried_and_none_beyond(most: int) -> None:
    threat = Threat(ball=L0(most), box=(0.0, 2.0))
    y = table(EVERY).argmax(1) * 0
    found = CODES.run(table, EVERY, y, threat)
    off = (torch.tensor([2.0, 0.0, 1.0]) != EVERY).sum(1)
    assert torch.equal(found.success, off <= most)
    assert threat.allows(found.x_adv, EVERY).all()
    assert torch.equal(table(found.x_adv).argmax(1) == 1, found.success)


def test_cells_that_only_the_end_of_the_ball_enters_are_tried() -> None:
    """A step at 0.5 that x = 0.41 reaches with radius 0.1 and x = 0.39 does not."""

    def step(x: Tensor) -> Tensor:
        up = (x[:, 0] >= 0.5).to(x.dtype)
        return torch.stack([1 - up, up], 1)

    x = torch.tensor([[0.41], [0.39]])
    threat = Threat(ball=Linf(0.1))
    values = (middles(torch.tensor([0.0, 0.5, 1.0])),)
    found = Exhaustive(values=values, reach=0.1).run(step, x, torch.tensor([0, 0]), threat)
    assert found.success.tolist() == [True, False]
    blind = Exhaustive(values=values).run(step, x, torch.tensor([0, 0]), threat)
    assert blind.success.tolist() == [False, False]


def test_to_the_end_passes_the_first_success() -> None:
    def line(x: Tensor) -> Tensor:
        return torch.cat([0 * x[:, :1], x[:, :1] - 0.5], 1)

    x, y = torch.tensor([[0.49]]), torch.tensor([0])
    threat = Threat(ball=Linf(0.2))
    attack = PGD(steps=20, step_size=0.25, loss="margin")
    first = attack.run(line, x, y, threat)
    last = ToTheEnd(attack=attack).run(line, x, y, threat)
    assert first.success.all()
    assert last.success.all()
    assert float(last.x_adv) == pytest.approx(0.69)
    assert float(last.margin) == pytest.approx(0.19, abs=1e-6)
    assert threat.allows(last.x_adv, x).all()


def test_middles_lie_between_neighbours() -> None:
    assert middles(torch.tensor([1.0, 0.0, 1.0, 3.0])) == (0.5, 2.0)
