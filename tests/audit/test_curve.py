"""Accuracy against radius: a linear net's distances are known, so is every point of its curve."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.audit.curve import ENDLESS, MOST, curve
from gradwarden.audit.radii import covers, resized
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import Evades, Targeted
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Real
from gradwarden.core.threat import Threat

LINF = Threat(ball=Linf(0.1))


class Threshold(nn.Module):
    """Class 1 where the first feature is above a half."""

    def forward(self, x: Tensor) -> Tensor:
        side = 4 * (x[:, :1] - 0.5)
        return torch.cat([-side, side], 1)


class Constant(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([torch.zeros(len(x)), torch.ones(len(x))], 1)


def data() -> tuple[Tensor, Tensor]:
    """Distances to the boundary 0.01, 0.06, ... 0.46, on either side in turn."""
    distance = torch.arange(10) * 0.05 + 0.01
    side = torch.arange(10) % 2
    x = torch.full((10, 3), 0.5)
    x[:, 0] += distance * (2 * side - 1)
    return x, side


def test_every_point_of_a_known_curve() -> None:
    found = curve(Threshold().eval(), *data(), LINF, PGD(steps=10, step_size=0.3))
    assert found.series is not None
    assert found.series.x == pytest.approx((0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6))
    distance = torch.arange(10) * 0.05 + 0.01
    expected = [float((distance > r).double().mean()) for r in found.series.x]
    assert found.series.y == pytest.approx(expected)
    assert found.last is not None
    assert (found.last.value, found.last.n) == (0.0, 10)
    assert (found.chance, found.whole, found.reaches_chance) == (0.5, True, True)
    assert found.note == ""
    pairs = zip(found.series.low, found.series.y, found.series.high, strict=True)
    assert all(low <= value <= high for low, value, high in pairs)


def test_it_never_rises_even_under_an_attack_of_luck() -> None:
    torch.manual_seed(0)
    x = torch.rand(40, 3)
    y = (x[:, 0] > 0.5).long()
    found = curve(Threshold().eval(), x, y, LINF, Noise(draws=1))
    assert found.series is not None
    assert list(found.series.y) == sorted(found.series.y, reverse=True)


def test_what_no_attacker_moves_does_not_reach_chance() -> None:
    class Cut(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = Threshold()(x.detach())
            return out

    found = curve(Cut().eval(), *data(), LINF, PGD(steps=5, start="clean"))
    assert found.last is not None
    assert (found.last.value, found.whole, found.reaches_chance) == (1.0, True, False)


def test_a_constant_answer_is_at_chance_from_the_start() -> None:
    found = curve(Constant().eval(), *data(), LINF, PGD(steps=2))
    assert found.series is not None
    assert set(found.series.y) == {0.5}
    assert found.reaches_chance


def test_samples_that_the_goal_is_not_about_are_left_out() -> None:
    x, y = data()
    evades = curve(
        Threshold().eval(),
        x,
        y,
        Threat(ball=Linf(0.1), goal=Evades()),
        PGD(steps=10, step_size=0.3),
    )
    assert evades.last is not None
    assert (evades.last.n, evades.last.value, evades.chance) == (5, 0.0, 1.0)
    target = curve(
        Threshold().eval(),
        x,
        y,
        Threat(ball=Linf(0.1), goal=Targeted(0)),
        PGD(steps=10, step_size=0.3),
    )
    assert target.last is not None
    assert target.last.n == 10  # a sample of that class counts as reached
    none = curve(Threshold().eval(), x, y * 0, Threat(ball=Linf(0.1), goal=Evades()), PGD(steps=1))
    assert none.series is None
    assert "concerns no sample" in none.note


def test_the_first_samples_alone() -> None:
    found = curve(Threshold().eval(), *data(), LINF, PGD(steps=10, step_size=0.3), samples=4)
    assert found.last is not None
    assert found.last.n == 4
    with pytest.raises(BadInput, match="at least 1"):
        curve(Threshold().eval(), *data(), LINF, PGD(steps=10, step_size=0.3), samples=0)


def test_a_box_without_end_is_never_covered() -> None:
    endless = Threat(ball=Linf(0.001), box=(-math.inf, math.inf))
    found = curve(Threshold().eval(), *data(), endless, PGD(steps=10, step_size=0.3))
    assert found.series is not None
    assert found.series.x[-1] == pytest.approx(0.001 * ENDLESS)
    assert not found.whole
    assert "does not cover the box" in found.note
    assert not found.reaches_chance


def test_a_box_with_ends_is_covered_from_however_near() -> None:
    found = curve(Threshold().eval(), *data(), Threat(ball=Linf(0.001)), PGD(steps=3))
    assert found.whole
    assert found.series is not None
    assert found.series.x[-1] < 0.001 * MOST


def test_fixed_features_are_named() -> None:
    schema = Tabular(features=(Real("a", 0, 1, change="none"), Real("b", 0, 1), Real("c", 0, 1)))
    threat = Threat(ball=Scaled(Linf(0.1), schema.widths), box=schema.box, constraints=schema)
    found = curve(Threshold().eval(), *data(), threat, PGD(steps=3))
    assert found.whole
    assert found.note.startswith("1 of 3 features may not change")
    assert found.last is not None
    assert found.last.value == 1.0


def test_a_ball_of_one_size() -> None:
    found = curve(Threshold().eval(), *data(), Threat(ball=Patch(shape=(1,))), PGD(steps=1))
    assert found.series is None
    assert "has no other sizes" in found.note
    assert not found.reaches_chance


@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.2), L1(0.5), Scaled(Linf(0.1), (1.0, 2.0, 3.0))])
def test_a_ball_of_another_size_is_the_ball_scaled(ball: Ball) -> None:
    wide = resized(Threat(ball=ball), 3.0)
    assert wide is not None
    delta = torch.rand(5, 3) - 0.5
    assert torch.equal(wide.ball.size(delta), ball.size(delta))
    torch.testing.assert_close(wide.ball.project(3 * delta), 3 * ball.project(delta))


def test_whole_elements() -> None:
    sizes = [resized(Threat(ball=L0(3)), factor) for factor in (0.25, 0.5, 2.0)]
    assert [None if t is None else t.ball for t in sizes] == [None, L0(1), L0(6)]
    found = curve(Threshold().eval(), *data(), Threat(ball=L0(1)), PGD(steps=10, step_size=0.3))
    assert found.series is not None
    assert found.series.x == (1.0, 2.0, 4.0)


def test_what_covers_a_box() -> None:
    x = torch.tensor([[0.5, 0.5], [0.8, 0.5]])
    assert covers(Threat(ball=Linf(0.8)), x)
    assert not covers(Threat(ball=Linf(0.79)), x)
    assert not covers(Threat(ball=Linf(5.0), box=(0.0, math.inf)), x)
    assert covers(Threat(ball=L2(0.95)), x)
    assert not covers(Threat(ball=L2(0.94)), x)
