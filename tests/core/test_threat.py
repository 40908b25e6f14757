"""Goals agree with argmax to the last tie; points are allowed exactly where they are; sentences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Goal, Targeted, Untargeted
from gradwarden.core.threat import Threat

NAN, INF = math.nan, math.inf
LOGIT = st.sampled_from([-2.0, -1.0, -0.0, 0.0, 1.0, 1.0 + 2**-23, 3e38, -3e38, NAN, INF, -INF])
ROWS = st.lists(st.lists(LOGIT, min_size=3, max_size=3), min_size=1, max_size=4)
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]


@settings(max_examples=300, deadline=None)
@given(rows=ROWS, label=st.integers(0, 2), target=st.integers(0, 2), dtype=st.sampled_from(DTYPES))
def test_margin_is_above_zero_exactly_where_the_goal_is_reached(
    rows: list[list[float]], label: int, target: int, dtype: torch.dtype
) -> None:
    logits, y = torch.tensor(rows).to(dtype), torch.full((len(rows),), label)
    for goal in (Untargeted(), Targeted(target)):
        reached, margin = goal.reached(logits, y), goal.margin(logits, y)
        assert torch.equal(reached, margin > 0)
        assert not margin.isnan().any()


@pytest.mark.parametrize(
    ("logits", "untargeted", "targeted"),
    [
        ([2.0, 1.0, 0.0], -1.0, -1.0),
        ([0.0, 1.5, 1.0], 1.5, 0.5),
        ([0.0, 1.0, 3.0], 3.0, -2.0),
        ([1.0, -INF, 0.0], -1.0, -INF),  # a class that is ruled out is no fault of the model
    ],
)
def test_margins_by_hand(logits: list[float], untargeted: float, targeted: float) -> None:
    """y is class 0, the target class 1."""
    row, y = torch.tensor([logits]), torch.tensor([0])
    assert Untargeted().margin(row, y).tolist() == [untargeted]
    assert Targeted(1).margin(row, y).tolist() == [targeted]


@pytest.mark.parametrize(("y", "reached"), [(0, False), (1, True), (2, True)])
def test_a_tie_is_decided_by_argmax(y: int, reached: bool) -> None:
    """So a model whose logits are all equal is right on one class only, not on all."""
    logits, label = torch.zeros(1, 3), torch.tensor([y])
    assert Untargeted().reached(logits, label).tolist() == [reached]
    assert Targeted(y).reached(logits, label).tolist() == [not reached]


@pytest.mark.parametrize("bad", [[NAN, 0.0, 1.0], [INF, 0.0, 1.0], [0.0, NAN, INF], [-INF] * 3])
@pytest.mark.parametrize("goal", [Untargeted(), Targeted(2)], ids=repr)
def test_where_the_model_predicts_nothing_no_goal_is_reached(bad: list[float], goal: Goal) -> None:
    for y in range(3):
        assert goal.reached(torch.tensor([bad]), torch.tensor([y])).tolist() == [False]
        assert goal.margin(torch.tensor([bad]), torch.tensor([y])).tolist() == [-INF]


@pytest.mark.parametrize("goal", [Untargeted(), Targeted(1)], ids=repr)
def test_loss_and_margin_have_the_gradient_that_leads_to_the_goal(goal: Goal) -> None:
    y = torch.tensor([0])
    for function in (goal.loss, goal.margin):
        logits = torch.tensor([[2.0, 1.0, 0.0]], requires_grad=True)
        (grad,) = torch.autograd.grad(function(logits, y).sum(), logits)
        assert grad[0, 0] < 0 < grad[0, 1]


def test_losses_are_cross_entropy_in_closed_form() -> None:
    """Of two equal logits: log 2."""
    logits, y = torch.zeros(1, 2), torch.tensor([0])
    assert float(Untargeted().loss(logits, y)) == pytest.approx(math.log(2))
    assert float(Targeted(1).loss(logits, y)) == pytest.approx(-math.log(2))


def test_a_target_is_a_class() -> None:
    with pytest.raises(BadInput, match="class index of at least 0, got -1"):
        Targeted(-1)


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from([Linf, L2]),
    radius=st.floats(1e-4, 3.0),
    seed=st.integers(0, 999),
    dtype=st.sampled_from([torch.float64, torch.float32]),
)
def test_what_is_projected_or_drawn_is_allowed(
    kind: type[Linf | L2], radius: float, seed: int, dtype: torch.dtype
) -> None:
    rng = torch.Generator().manual_seed(seed)
    x = torch.rand(6, 3, 8, 8, generator=rng).to(dtype)
    threat = Threat(ball=kind(radius))
    far = x + torch.randn(x.shape, generator=rng).to(dtype)
    assert threat.allows(threat.project(far, x), x).all()
    assert threat.allows(threat.sample(x, Draws(seed, range(6))), x).all()
    assert threat.allows(x, x).all()


@pytest.mark.parametrize("box", [(0.0, 1.0), (-INF, INF)])
@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.1)], ids=repr)
def test_what_is_outside_is_not_allowed(ball: Linf | L2, box: tuple[float, float]) -> None:
    threat, x = Threat(ball=ball, box=box), torch.full((1, 4), 0.5)
    step = torch.tensor([[1.0, 0.0, 0.0, 0.0]])
    for size, allowed in ((0.0999, True), (0.1, True), (0.1001, False)):
        assert threat.allows(x + size * step, x).tolist() == [allowed]
    for bad in (NAN, INF):
        assert threat.allows(x + bad * step.clamp(min=1), x).tolist() == [False]
    beyond = x - x + 1.0 + 1e-6
    assert threat.allows(beyond, beyond - 1e-6).tolist() == [box[1] > 1]


@pytest.mark.parametrize("box", [(1.0, 0.0), (0.5, 0.5), (NAN, 1.0)])
def test_a_box_has_a_low_and_a_high_end(box: tuple[float, float]) -> None:
    with pytest.raises(BadInput, match="low < high"):
        Threat(ball=Linf(0.1), box=box)


X, Y = torch.full((2, 3), 0.5), torch.tensor([0, 1])


@pytest.mark.parametrize(
    ("x", "y", "sentence"),
    [
        (X[:0], Y[:0], r"the data are empty: x has shape \(0, 3\)"),
        (X[:, :0], Y, r"the data are empty: x has shape \(2, 0\)"),
        (X[:, 0], Y, r"x must be \[N, ...\], one sample a row, got shape \(2,\)"),
        (X[0, 0], Y, r"x must be \[N, ...\], one sample a row, got shape \(\)"),
        ((X * 255).to(torch.uint8), Y, r"x must be floating point .* got torch.uint8"),
        (X, Y.float(), r"torch.int64 class indices of shape \(2,\), got torch.float32"),
        (X, Y.bool(), r"got torch.bool of shape \(2,\)"),
        (X, Y.int(), r"got torch.int32 of shape \(2,\)"),
        (X, Y[:1], r"got torch.int64 of shape \(1,\)"),
        (X, torch.eye(2, dtype=torch.int64), r"got torch.int64 of shape \(2, 2\)"),
        (X, Y - 1, "class indices of at least 0, got -1 in sample 0"),
        (X.index_fill(0, Y[1:], NAN), Y, "x holds NaN or infinite values, first in sample 1"),
        (X.index_fill(0, Y[:1], INF), Y, "x holds NaN or infinite values, first in sample 0"),
        (
            X * 3,
            Y,
            r"x lies in \[1.5, 1.5\], outside the box \[0, 1\], first in sample 0: rescale x",
        ),
        (X - 1, Y, r"x lies in \[-0.5, -0.5\], outside the box"),
    ],
)
def test_data_that_cannot_be_attacked_are_refused(x: Tensor, y: Tensor, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        Threat(ball=Linf(0.1)).check(x, y)


def test_data_at_the_edges_of_the_box_pass() -> None:
    Threat(ball=Linf(0.1)).check(torch.tensor([[0.0, 1.0]]), torch.tensor([4]))
