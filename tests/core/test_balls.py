"""L1, L0, Patch and Scaled against optimisers and brute force, with the bounds of a box."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats
from torch import Tensor

from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.bounds import nested
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.threat import Threat


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def bounds(*shape: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """low <= 0 <= high; some of them 0."""
    rng = torch.Generator().manual_seed(seed + 77)
    low, high = -torch.rand(*shape, generator=rng), torch.rand(*shape, generator=rng)
    return low * (low < -0.1), high * (high > 0.1)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 999), radius=st.sampled_from([0.1, 0.7, 2.0]), size=st.floats(0.1, 3))
def test_projection_onto_l1_and_box_is_what_slsqp_finds(
    seed: int, radius: float, size: float
) -> None:
    """Split into the parts above and below 0, the sum of which is at most the radius."""
    delta, (low, high) = (normal(1, 5, seed=seed) * size).double(), bounds(1, 5, seed=seed)
    found = L1(radius).project(delta, low.double(), high.double())[0]
    aim = delta[0].numpy()
    best = optimize.minimize(
        lambda v: ((v[:5] - v[5:] - aim) ** 2).sum(),
        np.zeros(10),
        jac=lambda v: np.concatenate([2 * (v[:5] - v[5:] - aim), -2 * (v[:5] - v[5:] - aim)]),
        bounds=[(0, float(h)) for h in high[0]] + [(0, -float(v)) for v in low[0]],
        constraints={"type": "ineq", "fun": lambda v: radius - v.sum()},
        method="SLSQP",
        options={"ftol": 1e-12, "maxiter": 200},
    )
    assert float(((found - delta[0]) ** 2).sum()) <= best.fun + 1e-6
    assert float(found.abs().sum()) <= radius * (1 + 1e-8)
    assert ((found >= low[0] - 1e-12) & (found <= high[0] + 1e-12)).all()


def test_projection_onto_l1_by_hand() -> None:
    """All lengths lose the same, until they are 0 or the box holds them first."""
    delta = torch.tensor([[3.0, -1.0, 0.5]])
    torch.testing.assert_close(L1(2.0).project(delta), torch.tensor([[2.0, 0.0, 0.0]]))
    low, high = torch.full((1, 3), -9.0), torch.tensor([[1.0, 9.0, 9.0]])
    near = torch.tensor([[1.0, -0.75, 0.25]])
    torch.testing.assert_close(L1(2.0).project(delta, low, high), near)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), count=st.integers(1, 7), boxed=st.booleans())
def test_projection_onto_l0_is_the_nearest_of_all_choices(
    seed: int, count: int, boxed: bool
) -> None:
    delta, (low, high) = normal(3, 6, seed=seed), bounds(3, 6, seed=seed)
    found = L0(count).project(delta, low, high) if boxed else L0(count).project(delta)
    near = delta.clamp(low, high) if boxed else delta
    choices = [c for c in itertools.product((0.0, 1.0), repeat=6) if sum(c) <= count]
    distance = torch.stack([(near * torch.tensor(c) - delta).norm(dim=1) for c in choices])
    torch.testing.assert_close((found - delta).norm(dim=1), distance.amin(0))
    assert ((found != 0).sum(1) <= count).all()


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 999),
    shape=st.sampled_from([(1, 1), (2, 3), (4, 1)]),
    radius=st.sampled_from([0.4, math.inf]),
    at=st.sampled_from([None, (0, 1)]),
)
def test_projection_onto_a_patch_is_the_nearest_of_all_places(
    seed: int, shape: tuple[int, int], radius: float, at: tuple[int, int] | None
) -> None:
    delta, (low, high) = normal(3, 2, 4, 5, seed=seed), bounds(3, 2, 4, 5, seed=seed)
    patch = Patch(shape=shape, at=at, radius=radius)
    found = patch.project(delta, low, high)
    near, distances = delta.clamp(-radius, radius).clamp(low, high), []
    for top, left in itertools.product(range(5 - shape[0]), range(6 - shape[1])):
        if at is None or at == (top, left):
            block = torch.zeros(4, 5)
            block[top : top + shape[0], left : left + shape[1]] = 1
            distances.append((near * block - delta).flatten(1).norm(dim=1))
    best = torch.stack(distances).amin(0)
    if radius == math.inf:  # else a block may gain more outside the radius than inside it
        torch.testing.assert_close((found - delta).flatten(1).norm(dim=1), best)
    assert (patch.size(found) <= radius * (1 + 1e-6)).all()
    assert ((found >= low) & (found <= high)).all()


def test_sizes_by_hand() -> None:
    delta = torch.tensor([[3.0, -4.0, 0.0], [0.0, 0.0, 0.0]])
    assert L1(1.0).size(delta).tolist() == [7.0, 0.0]
    assert L0(1).size(delta).tolist() == [2.0, 0.0]
    assert Scaled(L1(1.0), (1.0, 2.0, 5.0)).size(delta).tolist() == [5.0, 0.0]
    assert Scaled(Linf(1.0), 2.0).size(delta).tolist() == [2.0, 0.0]
    assert Patch(shape=(2,)).size(delta[:, None]).tolist() == [4.0, 0.0]
    assert Patch(shape=(1,)).size(delta[:, None]).tolist() == [math.inf, 0.0]
    assert Patch(shape=(2,), at=(1,)).size(delta[:, None]).tolist() == [math.inf, 0.0]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 999), radius=st.sampled_from([0.1, 1.0]))
def test_scaled_is_its_ball_in_other_units(seed: int, radius: float) -> None:
    units, delta = torch.rand(6) + 0.1, normal(4, 6, seed=seed)
    for ball in (Linf(radius), L2(radius), L1(radius)):
        scaled = Scaled(ball, nested(units))
        torch.testing.assert_close(scaled.project(delta), ball.project(delta / units) * units)
        low, high = bounds(4, 6, seed=seed)
        inside = scaled.project(delta, low, high)
        assert (ball.size(inside / units) <= radius * (1 + 1e-5)).all()
        assert ((inside >= low * (1 + 1e-5)) & (inside <= high * (1 + 1e-5))).all()
        step = scaled.steepest(delta)
        torch.testing.assert_close(scaled.size(step), torch.ones(4))
        rivals = [scaled.project(normal(4, 6, seed=seed + s) * 9) / radius for s in range(1, 9)]
        if not isinstance(ball, L1):  # L1 moves several elements on purpose
            assert all(((rival - step) * delta).sum(1).max() <= 1e-5 for rival in rivals)


@pytest.mark.parametrize(
    ("ball", "step"),
    [
        (L1(1.0), [[0.0, -1.0, 0.0, 0.0]]),  # the largest element alone, of fewer than 30
        (L0(2), [[0.0, -1.0, 0.0, 1.0]]),
        (Patch(shape=(2,)), [[0.0, -1.0, 1.0, 0.0]]),
        (Patch(shape=(2,), at=(0,)), [[1.0, -1.0, 0.0, 0.0]]),
        (Scaled(L0(1), (1.0, 1.0, 9.0, 1.0)), [[0.0, 0.0, 9.0, 0.0]]),
    ],
    ids=repr,
)
def test_the_steepest_step_by_hand(ball: Ball, step: list[list[float]]) -> None:
    grad = torch.tensor([[0.5, -3.0, 2.0, 2.5]])
    found = ball.steepest(grad[:, None])[:, 0] if isinstance(ball, Patch) else ball.steepest(grad)
    assert found.tolist() == step
    assert not ball.steepest(torch.zeros(2, 1, 4)).any()


def test_samples_of_l1_are_uniform_in_the_volume() -> None:
    """The share within r of the centre is (r / radius)^dim, and signs are fair."""
    x = torch.zeros(2000, 3)
    delta = L1(0.5).sample(x, Draws(0, range(len(x))))
    share = (delta.abs().sum(1) / 0.5) ** 3
    assert stats.kstest(share.numpy(), "uniform").pvalue > 0.001
    assert (delta.mean(0).abs() < 0.02).all()
    first = delta[:, 0].abs() / delta.abs().sum(1)  # of uniform parts: Beta(1, 2)
    assert stats.kstest(first.numpy(), "beta", args=(1, 2)).pvalue > 0.001


def test_samples_of_l0_and_patch_choose_every_place_alike() -> None:
    x = torch.zeros(2000, 1, 5)
    elements = (L0(2).sample(x, Draws(0, range(2000))) != 0).sum(0)[0]
    assert stats.chisquare(elements.numpy()).pvalue > 0.001
    assert int(elements.sum()) == 4000
    corners = (Patch(shape=(2,)).sample(x, Draws(1, range(2000))) != 0).long().argmax(2)[:, 0]
    assert stats.chisquare(corners.bincount(minlength=4).numpy()).pvalue > 0.001


BALLS: list[Ball] = [
    L1(0.7),
    L0(3),
    Patch(shape=(2, 2)),
    Patch(shape=(1, 3), at=(1, 0), radius=0.2),
    Scaled(L2(0.5), ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), (0.1, 0.1, 0.1))),
    Scaled(Linf(0.1), 3.0),
]


@pytest.mark.parametrize("ball", BALLS, ids=repr)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_projected_drawn_or_stepped_to_is_allowed(ball: Ball, dtype: torch.dtype) -> None:
    """In a box with ends of its own for each feature."""
    low = torch.arange(9.0).view(3, 3) - 5
    high = low + torch.tensor([0.5, 2.0, 7.0])
    threat = Threat(ball=ball, box=(nested(low), nested(high)))
    rng = torch.Generator().manual_seed(0)
    x = (low + (high - low) * torch.rand(20, 2, 3, 3, generator=rng)).to(dtype)
    far = x + normal(20, 2, 3, 3).to(dtype) * 4
    threat.check(x, torch.zeros(20).long())
    for point in (
        threat.project(far, x),
        threat.sample(x, Draws(0, range(20))),
        threat.step(x, far, 1.5, x),
    ):
        assert threat.allows(point, x).all()
        assert (point != x).flatten(1).any(1).all()
        torch.testing.assert_close(threat.project(point, x), point)
    assert not threat.allows(far, x).any()


@pytest.mark.parametrize(
    ("x", "sentence"),
    [
        (torch.tensor([[0.5, 3.0]]), "outside the box of the threat, first in sample 0"),
        (
            torch.zeros(1, 3),
            r"bounds of shape \(2,\) do not broadcast with samples of shape \(3,\)",
        ),
    ],
)
def test_samples_outside_a_box_of_many_ends(x: Tensor, sentence: str) -> None:
    threat = Threat(ball=Linf(0.1), box=((0.0, 1.0), (1.0, 2.0)))
    with pytest.raises(BadInput, match=sentence):
        threat.check(x, torch.zeros(1).long())


def test_bad_options() -> None:
    for radius in (0, -1):
        with pytest.raises(BadInput, match="a whole number of elements above 0, got"):
            L0(radius)
    for bad in (0.0, math.nan, math.inf):
        with pytest.raises(BadInput, match="finite number above 0"):
            L1(bad)
    with pytest.raises(BadInput, match=r"shape must be extents of at least 1, got \(0, 2\)"):
        Patch(shape=(0, 2))
    with pytest.raises(BadInput, match="at must be a corner with 2 indices, got"):
        Patch(shape=(1, 2), at=(1,))
    with pytest.raises(BadInput, match="radius must be above 0"):
        Patch(shape=(1,), radius=0.0)
    with pytest.raises(BadInput, match=r"units must be above 0, got -1\.0"):
        Scaled(Linf(0.1), ((1.0, -1.0), (2.0, 2.0)))
    with pytest.raises(BadInput, match=r"a patch of shape \(3,\) at \(2,\) does not fit into"):
        Patch(shape=(3,), at=(2,)).project(torch.zeros(1, 1, 4))
    with pytest.raises(BadInput, match="low < high"):
        Threat(ball=Linf(0.1), box=((0.0, 2.0), (1.0, 2.0)))
