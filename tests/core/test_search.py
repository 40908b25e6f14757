"""The best point visited: a first success stays, until then the largest loss wins."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Untargeted
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

GOAL = Untargeted()
THREAT = Threat(ball=Linf(9.0), box=(-math.inf, math.inf), goal=GOAL)


def problem(x: Tensor, y: Tensor, of: Model | None = None) -> Problem:
    return Problem(
        of or model, THREAT, lambda logits, y, aim: GOAL.loss(logits, y), x, y, range(len(x))
    )


def model(x: Tensor) -> Tensor:
    """Two classes; class 1 wins where the first element is above 1."""
    return torch.stack([torch.ones(len(x)), x[:, 0]], 1)


def visit(points: list[float]) -> Attacked:
    """One sample of class 0 that starts at the first point."""
    x, y = torch.tensor([[p] for p in points]), torch.tensor([0])
    task = problem(x[:1], y)
    best = task.start()
    for restart in range(len(points) - 1):
        best, _ = task.score(best, x[restart + 1 : restart + 2], restart)
    return best


@pytest.mark.parametrize(
    ("points", "kept", "restart", "success"),
    [
        ([0.0], 0.0, 0, False),
        ([0.0, 0.5, 0.2], 0.5, 0, False),  # the last point is worse than the one before
        ([0.5, 0.2, 0.1], 0.5, 0, False),  # x itself is the best
        ([0.0, 0.5, 2.0], 2.0, 1, True),
        ([0.0, 1.5, 9.0], 1.5, 0, True),  # a first success is never replaced
        ([2.0, 0.0, 9.0], 2.0, 0, True),  # missed from the start: unperturbed
        ([0.0, math.nan, 0.5], 0.5, 1, False),  # NaN is never the best
        ([math.nan, 0.5, 0.2], 0.5, 0, False),  # nor does it keep anything else from being it
        ([0.0, math.inf, 0.5], 0.5, 1, False),
    ],
)
def test_which_point_is_kept(points: list[float], kept: float, restart: int, success: bool) -> None:
    best = visit(points)
    assert best.x_adv.tolist() == [[kept]]
    assert best.restart.tolist() == [restart]
    assert best.success.tolist() == [success]
    assert best.forwards.tolist() == [len(points)]
    assert best.backwards.tolist() == [0]


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 999), steps=st.integers(0, 6))
def test_what_is_reported_is_what_is_returned(seed: int, steps: int) -> None:
    rng = torch.Generator().manual_seed(seed)
    x, y = torch.rand(16, 3, generator=rng) * 2, torch.randint(2, (16,), generator=rng)
    task = problem(x, y)
    clean = best = task.start()
    for _ in range(steps):
        point = torch.rand(16, 3, generator=rng) * 2
        before, (best, value) = best, task.score(best, point)
        torch.testing.assert_close(value, GOAL.loss(model(point), y))
        assert (best.success | (best.loss >= before.loss)).all()
        assert (best.success >= before.success).all()
    logits = model(best.x_adv)
    assert torch.equal(best.success, GOAL.reached(logits, y))
    assert torch.equal(best.margin, GOAL.margin(logits, y))
    assert torch.equal(best.loss, GOAL.loss(logits, y))
    assert torch.equal(best.x_adv[clean.success], x[clean.success])
    assert (~best.success).sum() <= (~clean.success).sum()


def test_the_loss_that_comes_back_is_differentiable_and_the_record_is_not() -> None:
    x, y = torch.full((2, 1), 0.5, requires_grad=True), torch.tensor([0, 0])
    task = problem(x, y)
    best, value = task.score(task.start(), x)
    assert value.requires_grad
    assert not any(part.requires_grad for part in best)


def test_a_model_that_writes_into_its_input_harms_no_point() -> None:
    def writing(x: Tensor) -> Tensor:
        return model(x.mul_(0.0))

    x, y = torch.full((1, 1), 0.5), torch.tensor([0])
    task = problem(x, y, writing)
    best, _ = task.score(task.start(), x)
    assert x.tolist() == best.x_adv.tolist() == [[0.5]]


def test_rows_taken_out_and_put_back() -> None:
    x, y = torch.tensor([[0.1], [0.2], [0.3]]), torch.tensor([0, 0, 0])
    task, rows = problem(x, y), torch.tensor([2, 0])
    best = task.start()
    some, _ = task.at(rows).score(best.at(rows), torch.tensor([[2.0], [0.0]]))
    after = best.put(rows, some)
    torch.testing.assert_close(after.x_adv, torch.tensor([[0.1], [0.2], [2.0]]))
    assert after.forwards.tolist() == [2, 1, 2]
