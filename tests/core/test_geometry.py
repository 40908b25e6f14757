"""Balls against closed forms and properties, over sixty orders of magnitude."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball

BALLS = [Linf, L2]
MAGNITUDES = [1e-30, 1e-12, 1.0, 1e12, 1e30]
SHAPES = [(1,), (7,), (3, 4, 4)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def order(ball: Ball) -> float:
    return 2.0 if isinstance(ball, L2) else math.inf


def inner(a: Tensor, b: Tensor) -> Tensor:
    return (a.double() * b.double()).flatten(1).sum(1)


@pytest.mark.parametrize("kind", BALLS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_size_is_the_vector_norm(
    kind: type[Linf | L2], shape: tuple[int, ...], magnitude: float
) -> None:
    ball, delta = kind(1.0), normal(5, *shape) * magnitude
    twin = torch.linalg.vector_norm(delta.double().flatten(1), order(ball), dim=1)
    torch.testing.assert_close(ball.size(delta).double(), twin, rtol=1e-6, atol=0.0)


def test_size_by_hand() -> None:
    delta = torch.tensor([[[3.0, -4.0]], [[0.0, 0.0]]])
    assert Linf(1.0).size(delta).tolist() == [4.0, 0.0]
    assert L2(1.0).size(delta).tolist() == [5.0, 0.0]


def test_projection_by_hand() -> None:
    """The nearest point: clamped for Linf, shrunk towards 0 for L2."""
    delta = torch.tensor([[3.0, -4.0], [0.3, 0.4]])
    torch.testing.assert_close(Linf(2.0).project(delta), torch.tensor([[2.0, -2.0], [0.3, 0.4]]))
    torch.testing.assert_close(L2(2.0).project(delta), torch.tensor([[1.2, -1.6], [0.3, 0.4]]))


@pytest.mark.parametrize("kind", BALLS)
@pytest.mark.parametrize("magnitude", MAGNITUDES)
@pytest.mark.parametrize("radius", MAGNITUDES)
def test_projection_lies_in_the_ball_and_keeps_what_does(
    kind: type[Linf | L2], magnitude: float, radius: float
) -> None:
    ball, delta = kind(radius), normal(8, 3, 5) * magnitude
    once = ball.project(delta)
    assert once.isfinite().all()
    assert (ball.size(once).double() <= radius * (1 + 1e-5)).all()
    inside = ball.size(delta).double() <= radius
    assert torch.equal(once[inside], delta[inside])
    torch.testing.assert_close(ball.project(once), once, rtol=1e-5, atol=0.0)


@settings(max_examples=60, deadline=None)
@given(kind=st.sampled_from(BALLS), seed=st.integers(0, 999), radius=st.floats(0.01, 10.0))
def test_projection_is_the_nearest_point(kind: type[Linf | L2], seed: int, radius: float) -> None:
    """Of a convex set, the projection p of v has (v - p) . (z - p) <= 0 for every z inside."""
    ball, v = kind(radius), normal(4, 6, seed=seed) * 3
    p = ball.project(v)
    for z in (ball.project(normal(4, 6, seed=seed + s) * 9) for s in range(1, 6)):
        assert (inner(v - p, z - p) <= 1e-4 * radius).all()


@pytest.mark.parametrize(("kind", "dual"), [(Linf, 1), (L2, 2)])
@pytest.mark.parametrize("magnitude", MAGNITUDES)
def test_steepest_gains_the_dual_norm(kind: type[Linf | L2], dual: int, magnitude: float) -> None:
    """max of g . d over the unit ball is the dual norm of g (Hoelder)."""
    grad = normal(6, 2, 9) * magnitude
    step = kind(1.0).steepest(grad)
    torch.testing.assert_close(kind(1.0).size(step), torch.ones(6))
    gain = torch.linalg.vector_norm(grad.double().flatten(1), dual, dim=1)
    torch.testing.assert_close(inner(grad, step), gain, rtol=1e-6, atol=0.0)


@pytest.mark.parametrize("kind", BALLS)
def test_steepest_of_no_gradient_is_no_step(kind: type[Linf | L2]) -> None:
    assert torch.equal(kind(1.0).steepest(torch.zeros(2, 3)), torch.zeros(2, 3))


@pytest.mark.parametrize("dim", [1, 3])
def test_samples_of_l2_are_uniform_in_the_volume(dim: int) -> None:
    """The share within r of the centre is (r / radius)^dim, and no direction is preferred."""
    x = torch.zeros(4000, dim)
    delta = L2(0.5).sample(x, Draws(0, range(len(x))))
    share = (delta.norm(dim=1) / 0.5) ** dim
    assert stats.kstest(share.numpy(), "uniform").pvalue > 0.001
    assert (delta.mean(0).abs() < 4 * 0.5 / len(x) ** 0.5).all()


def test_samples_of_linf_are_uniform_in_the_volume() -> None:
    x = torch.zeros(1500, 3)
    delta = Linf(0.25).sample(x, Draws(0, range(len(x))))
    assert stats.kstest((delta / 0.5 + 0.5).flatten().numpy(), "uniform").pvalue > 0.001


@pytest.mark.parametrize("kind", BALLS)
@pytest.mark.parametrize("radius", MAGNITUDES)
@pytest.mark.parametrize("shape", SHAPES)
def test_samples_lie_in_the_ball(
    kind: type[Linf | L2], radius: float, shape: tuple[int, ...]
) -> None:
    ball, x = kind(radius), torch.zeros(16, *shape)
    delta = ball.sample(x, Draws(1, range(16)))
    assert delta.shape == x.shape
    assert (ball.size(delta).double() <= radius * (1 + 1e-5)).all()
    assert (ball.size(delta) > 0).all()


@pytest.mark.parametrize("kind", BALLS)
def test_no_samples_are_no_samples(kind: type[Linf | L2]) -> None:
    assert kind(1.0).sample(torch.zeros(0, 3), Draws(0, [])).shape == (0, 3)


@pytest.mark.parametrize("kind", BALLS)
@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan, math.inf])
def test_a_radius_is_finite_and_above_zero(kind: type[Linf | L2], radius: float) -> None:
    with pytest.raises(BadInput, match=f"finite number above 0, in units of x, got {radius}"):
        kind(radius)
