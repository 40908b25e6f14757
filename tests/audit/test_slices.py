"""Slices through the margin: a linear net is its own line, a cut gradient foresees nothing."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from gradwarden.audit.slices import MOST, POINTS, slices
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.display import Figure
from gradwarden.core.search import Model
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.2), box=(-1.0, 2.0))


class Rounded(nn.Module):
    """Steps of a tenth, and no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 10).round() / 10


class Refuses(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.from_numpy(x.numpy())


def linear() -> nn.Linear:
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    return layer


def data() -> tuple[Tensor, Tensor, Tensor]:
    """The margin of class 1 against class 0 is x1 - x0; the third sample is not moved."""
    x = torch.tensor([[0.6, 0.5], [0.5, 0.3], [0.2, 0.1], [0.9, 0.8]])
    x_adv = x + torch.tensor([[-0.1, 0.1], [-0.2, 0.2], [0.0, 0.0], [-0.2, 0.0]])
    return x, torch.zeros(4, dtype=torch.long), x_adv


def one(model: Model, threat: Threat = THREAT) -> Figure:
    return slices(model, *data(), threat)[0]


def test_a_linear_net_does_what_autograd_foresees() -> None:
    figures = slices(linear(), *data(), THREAT, ids=[10, 11, 12, 13])
    assert [figure.id for figure in figures] == ["slice-10", "slice-11"]
    assert len(figures) == MOST
    for figure in figures:
        towards, told, along, told_along = figure.series
        for true, dashed in ((towards, told), (along, told_along)):
            assert not true.dashed
            assert dashed.dashed
            assert true.group == dashed.group
            assert true.y == pytest.approx(dashed.y, abs=1e-6)
            assert len(true.x) == POINTS
            assert (true.x[0], true.x[-1]) == (-1.0, 1.0)
    # By hand: one radius moves the margin by 0.4 along (-1, 1).
    assert figures[0].series[0].y[-1] == pytest.approx(-0.1 + 0.4, abs=1e-6)
    assert figures[0].series[2].y[0] == pytest.approx(-0.1 - 0.4, abs=1e-6)


def test_the_line_ends_at_the_edge_of_the_ball_and_stays_in_the_box() -> None:
    figure = one(linear(), Threat(ball=L2(0.2), box=(0.0, 0.6)))
    step = 0.2 / 2**0.5
    # Ahead, the second feature gets as far as the box lets it; behind, the first is at its end.
    assert figure.series[0].y[-1] == pytest.approx(-0.1 + step + 0.1, abs=1e-6)
    assert figure.series[0].y[0] == pytest.approx(-0.1 - step, abs=1e-6)
    assert figure.series[1].y[0] == pytest.approx(-0.1 - step, abs=1e-6)


@pytest.mark.parametrize("front", [Rounded(), Refuses()], ids=["zeros", "raises"])
def test_without_a_gradient_one_line_is_left(front: nn.Module) -> None:
    figure = one(nn.Sequential(front, linear()))
    assert [series.name for series in figure.series] == ["towards the adversarial point"]
    assert "no gradient" in figure.says
    assert "-0.1 at the sample" in figure.says
    assert "at most 0.3" in figure.says


def test_a_lying_gradient_is_drawn_beside_the_truth() -> None:
    class Lie(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach() - (x - x.detach())  # the value of x, the gradient of -x

    towards, told, *_ = one(nn.Sequential(Lie(), linear())).series
    assert towards.y[-1] == pytest.approx(0.3, abs=1e-6)
    assert told.y[-1] == pytest.approx(-0.5, abs=1e-6)


def test_a_keyed_model_is_asked_for_the_same_sample() -> None:
    asked: list[list[int]] = []

    class Keyed:
        def __call__(self, x: Tensor) -> Tensor:
            raise AssertionError("asked without ids")

        def keyed(self, ids: Sequence[int]) -> Model:
            asked.append(list(ids))
            return lambda x: linear()(x)

    slices(Keyed(), *data(), THREAT, ids=[7, 8, 9, 10])
    assert {name for ids in asked for name in ids} == {7, 8}


def test_nothing_is_drawn_where_nothing_fell() -> None:
    x, y, _ = data()
    assert slices(linear(), x, y, x, THREAT) == ()
