"""Minimum-norm attacks against oracles: exact distances of a plane, brute force, the box's edge."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gradwarden.attack.carlini_wagner import CarliniWagner
from gradwarden.attack.ddn import DDN
from gradwarden.attack.fab import FAB
from gradwarden.attack.fmn import FMN
from gradwarden.attack.min_norm import MinimumNorm, Nearest
from gradwarden.attack.min_norm_units import to_plane
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import Evades, Targeted
from gradwarden.core.threat import Threat

Kind = type[L1] | type[L2] | type[Linf]
DUAL: dict[Kind, float] = {L1: math.inf, L2: 2.0, Linf: 1.0}
FOUND: list[
    tuple[FAB | FMN | DDN | CarliniWagner, Kind, float]
] = [  # how near to the truth, as a ratio
    (FAB(steps=20), Linf, 1.01),
    (FAB(steps=20), L2, 1.01),
    (FAB(steps=20), L1, 1.01),
    (FMN(steps=60), Linf, 1.01),
    (FMN(steps=60), L2, 1.01),
    (FMN(steps=60), L1, 1.01),
    (DDN(steps=60), L2, 1.03),
    (CarliniWagner(searches=5, steps=40, price=0.1), L2, 1.3),
]
every = pytest.mark.parametrize(("attack", "ball", "ratio"), FOUND)
sharp = pytest.mark.parametrize(("attack", "ball", "ratio"), FOUND[:-1])


class Plane:
    """Two classes on either side of the plane w (x - middle) = 0."""

    def __init__(self, size: int, middle: float = 0.5) -> None:
        rng = torch.Generator().manual_seed(size)
        self.w, self.middle = torch.randn(size, generator=rng), middle

    def margin(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - self.middle) @ self.w.to(x.dtype)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([-self.margin(x), self.margin(x)], 1)


def curved(size: int, classes: int = 3, seed: int = 0) -> nn.Module:
    """Curved classes, each of which holds a part of the box."""
    torch.manual_seed(seed)
    first, last = nn.Linear(size, 16), nn.Linear(16, classes)
    net = nn.Sequential(first, nn.Tanh(), last)
    with torch.no_grad():
        first.weight.mul_(4)
        last.bias.sub_(net(cube(500, size)).mean(0))
    return net.eval()


def cube(n: int, *shape: int, seed: int = 0) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


def is_real(model: Any, found: Nearest, x: Tensor, y: Tensor, ball: Ball) -> None:
    """What is found is a success, at the distance that is said."""
    hit = found.size.isfinite()
    assert (model(found.x_adv)[hit].argmax(1) != y[hit]).all()
    torch.testing.assert_close(found.size[hit], ball.size((found.x_adv - x).double())[hit])


@sharp
@pytest.mark.parametrize("shape", [(8,), (4, 6), (3, 5, 5)])
@pytest.mark.parametrize("scale", [1.0, 40.0])
def test_the_distance_of_a_plane_whatever_the_box(
    attack: MinimumNorm, ball: Kind, ratio: float, shape: tuple[int, ...], scale: float
) -> None:
    model = Plane(math.prod(shape), 0.5 * scale)
    x = (cube(12, *shape) * 0.1 + 0.45) * scale
    exact = model.margin(x).abs() / torch.linalg.vector_norm(model.w, DUAL[ball])
    threat = Threat(ball=ball(0.3 * scale), box=(-8.0 * scale, 9.0 * scale))
    y = model(x).argmax(1)
    found = attack.nearest(model, x, y, threat)
    is_real(model, found, x, y, threat.ball)
    assert (found.size >= exact * 0.999).all()
    assert (found.size <= exact * ratio).all()


@every
def test_the_distance_of_a_plane_in_a_box_that_stops(
    attack: MinimumNorm, ball: Kind, ratio: float
) -> None:
    model, x = Plane(20), cube(24, 20)
    y, low, high = model(x).argmax(1), x.double(), 1 - x.double()
    gap = model.margin(x).double()
    step = to_plane(model.w.double().expand(24, -1), -gap, high, low, _p(ball))
    found = attack.nearest(model, x, y, Threat(ball=ball(0.1)))
    is_real(model, found, x, y, ball(0.1))
    exact = ball(1.0).size(step)
    assert (found.size >= exact * 0.999).all()
    assert (found.size <= exact * max(ratio, 1.03)).float().mean() >= 0.9


def _p(ball: Kind) -> float:
    return {L1: 1.0, L2: 2.0, Linf: math.inf}[ball]


@pytest.mark.parametrize(("box", "scale"), [((-8.0, 9.0), 1.0), ((0.0, 1.0), 1.0), ((0, 99), 99.0)])
def test_carlini_wagner_comes_near_to_a_plane(box: tuple[float, float], scale: float) -> None:
    model, x = Plane(24, 0.5 * scale), (cube(5, 24) * 0.1 + 0.45) * scale
    exact = model.margin(x).abs() / torch.linalg.vector_norm(model.w, 2)
    y, threat = model(x).argmax(1), Threat(ball=L2(0.1 * scale), box=box)
    found = CarliniWagner(rate=0.02).nearest(model, x, y, threat)
    is_real(model, found, x, y, threat.ball)
    assert (found.size >= exact * 0.999).all()
    assert (found.size <= exact * 1.1).all()


def test_the_number_of_elements_that_cross_a_plane() -> None:
    model, x = Plane(30), cube(24, 30)
    y, sign = model(x).argmax(1), -model.margin(x).sign()[:, None]
    room = torch.where(sign * model.w > 0, 1 - x, x)
    gains = (model.w.abs() * room).sort(1, descending=True).values.cumsum(1)
    exact = (gains < model.margin(x).abs()[:, None]).sum(1) + 1
    found = FMN(steps=60).nearest(model, x, y, Threat(ball=L0(3)))
    is_real(model, found, x, y, L0(3))
    assert (found.size >= exact).all()
    assert (found.size == exact).float().mean() > 0.9


@sharp
def test_units_of_each_feature_are_respected(attack: MinimumNorm, ball: Kind, ratio: float) -> None:
    model, units = Plane(10), torch.logspace(-1, 1, 10)
    x = cube(12, 10) * 0.1 + 0.45
    threat = Threat(ball=Scaled(ball(0.3), tuple(units.tolist())), box=(-50.0, 50.0))
    exact = model.margin(x).abs() / torch.linalg.vector_norm(model.w * units, DUAL[ball])
    found = attack.nearest(model, x, model(x).argmax(1), threat)
    assert (found.size >= exact * 0.999).all()
    assert (found.size <= exact * max(ratio, 1.02)).all()


@every
def test_the_scale_of_the_box_changes_nothing(
    attack: MinimumNorm, ball: Kind, ratio: float
) -> None:
    """By a power of two, so that rounding is the same."""
    model, x = curved(12), cube(20, 12)
    y = model(x).argmax(1)
    small = attack.nearest(model, x, y, Threat(ball=ball(0.2)))
    wide = Threat(ball=ball(0.2 * 64), box=(0.0, 64.0))
    large = attack.nearest(lambda z: model(z / 64), x * 64, y, wide)
    torch.testing.assert_close(large.size, small.size * 64, rtol=1e-3, atol=1e-4)
    assert torch.equal(large.forwards, small.forwards)


def test_the_last_point_is_tried() -> None:
    model, x = Plane(9), cube(10, 9) * 0.1 + 0.45
    found = FAB(steps=1, targets=1).nearest(model, x, model(x).argmax(1), Threat(ball=L2(0.1)))
    assert found.size.isfinite().all()


@every
def test_brute_force_finds_nothing_much_nearer(
    attack: MinimumNorm, ball: Kind, ratio: float
) -> None:
    model, x = curved(2, seed=3), cube(20, 2)
    y = model(x).argmax(1)
    axis = torch.linspace(0, 1, 201)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        predicted = model(grid).argmax(1)
    found = attack.nearest(model, x, y, Threat(ball=ball(0.2)))
    is_real(model, found, x, y, ball(0.2))
    sizes = torch.stack([ball(1.0).size(grid - point) for point in x])
    exact = sizes.masked_fill(predicted == y[:, None], math.inf).amin(1)
    assert (found.size >= exact - 0.008).all()
    near = found.size <= exact * 1.1 + 0.008
    assert near.float().mean() >= (0.5 if ball is L1 else 0.8)  # L1 tries few directions
    assert found.size.isfinite().float().mean() > 0.5


@every
def test_wrong_from_the_start_is_at_distance_0(
    attack: MinimumNorm, ball: Kind, ratio: float
) -> None:
    model, x = Plane(6), cube(8, 6)
    y = 1 - model(x).argmax(1)
    found = attack.nearest(model, x, y, Threat(ball=ball(0.1)))
    assert not found.size.any()
    assert torch.equal(found.x_adv, x)
    assert (found.forwards == 1).all()


@every
def test_out_of_the_box_means_no_success(attack: MinimumNorm, ball: Kind, ratio: float) -> None:
    """The plane is farther than the box reaches."""
    model, x = Plane(6, middle=-9.0), cube(8, 6)
    found = attack.nearest(model, x, model(x).argmax(1), Threat(ball=ball(0.1)))
    assert found.size.isinf().all()
    assert torch.equal(found.x_adv, x)


@every
def test_run_succeeds_inside_the_ball_alone_and_stops_there(
    attack: FAB | FMN | DDN | CarliniWagner, ball: Kind, ratio: float
) -> None:
    model, x = curved(12), cube(40, 12)
    y = model(x).argmax(1)
    far = attack.nearest(model, x, y, Threat(ball=ball(0.1)))
    radius = float(far.size.quantile(0.5))
    threat = Threat(ball=ball(radius))
    run, far = attack.run(model, x, y, threat), attack.nearest(model, x, y, threat)
    assert threat.allows(run.x_adv, x).all()
    assert (run.success <= (far.size <= radius * (1 + 1e-5))).all()
    assert run.success.float().mean() > 0.3
    assert (run.forwards <= far.forwards).all()
    assert (run.forwards[run.success] < far.forwards[run.success] / 2).any()
    assert torch.equal(run.x_adv[~run.success], x[~run.success])


@every
def test_goals_that_name_a_class(attack: MinimumNorm, ball: Kind, ratio: float) -> None:
    model, x = curved(12), cube(20, 12)
    y = model(x).argmax(1)
    found = attack.nearest(model, x, y, Threat(ball=ball(0.3), goal=Targeted(2)))
    hit = found.size.isfinite()
    assert hit.float().mean() > 0.5
    assert (model(found.x_adv)[hit].argmax(1) == 2).all()
    plane = Plane(12)
    flagged = plane(x).argmax(1)
    fraud = Threat(ball=ball(0.3), goal=Evades(threshold=-0.5))
    passed = attack.nearest(plane, x, flagged, fraud)
    hit = passed.size.isfinite()
    assert torch.equal(hit, flagged == 1)
    assert (2 * plane.margin(passed.x_adv[hit]) < -0.5).all()


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 9999), p=st.sampled_from([1.0, 2.0, math.inf]), size=st.integers(1, 6))
def test_the_nearest_point_of_a_plane_against_a_slow_search(seed: int, p: float, size: int) -> None:
    """The size a ball needs for its best corner in the box to reach the plane, by bisection."""
    rng = torch.Generator().manual_seed(seed)
    normal, room = torch.randn(1, size, generator=rng), torch.rand(2, 1, size, generator=rng)
    normal[:, : seed % 2] = 0.0
    need = torch.randn(1, generator=rng) * 1.5
    normal, need, up, down = (v.double() for v in (normal, need, room[0], room[1]))
    step = to_plane(normal, need, up, down, p)
    assert (step <= up + 1e-12).all()
    assert (step >= -down - 1e-12).all()
    aim = normal * need.sign()
    most = float((aim.abs() * torch.where(aim > 0, up, down)).sum())
    got = float((aim * step).sum())
    assert got == pytest.approx(min(abs(float(need)), most), abs=1e-9)
    if abs(float(need)) < most:
        balls: dict[float, Ball] = {1.0: L1(1.0), 2.0: L2(1.0), math.inf: Linf(1.0)}
        ball = balls[p]
        size_found = float(ball.size(step))
        for _ in range(300):  # no random point of the plane and the box is nearer
            other = (step + torch.randn(1, size, generator=rng) * 0.3).clamp(-down, up)
            if float((aim * other).sum()) >= got:
                assert float(ball.size(other)) >= size_found - 1e-9


@pytest.mark.parametrize("attack", [DDN(steps=9), CarliniWagner(searches=2, steps=9)])
def test_a_ball_of_no_end_is_no_success_by_itself(attack: DDN | CarliniWagner) -> None:
    """A patch may have any radius; a change of more elements is at no distance from x."""
    model, x = Plane(36), cube(6, 1, 6, 6)
    y, threat = model(x).argmax(1), Threat(ball=Patch(shape=(2, 2)))
    run = attack.run(model, x, y, threat)
    assert torch.equal(run.success, model(run.x_adv).argmax(1) != y)
    assert (run.forwards > 1).all()


def test_a_ball_without_such_a_norm_is_one_sentence() -> None:
    model, x = Plane(4), cube(2, 1, 2, 2)
    patch = Threat(ball=Patch(shape=(1, 1)))
    for attack, says in ((FAB(), "FAB needs a ball of L1, L2, Linf"), (FMN(), "FMN needs a ball")):
        with pytest.raises(BadInput, match=says):
            attack.run(model, x, model(x).argmax(1), patch)


@pytest.mark.parametrize(
    ("attack", "options", "says"),
    [
        (FAB, {"steps": 0}, "steps must be at least 1, got 0"),
        (FAB, {"targets": 0}, "targets must be at least 1, got 0"),
        (FAB, {"pull": 2.0}, r"pull must be in \[0, 1\], got 2"),
        (FAB, {"overshoot": math.nan}, "overshoot must be at least 1"),
        (FAB, {"keep": 0.0}, r"keep must be in \(0, 1\], got 0"),
        (FMN, {"steps": 0}, "steps must be at least 1, got 0"),
        (FMN, {"step_size": 0.0}, "step_size must be above 0"),
        (FMN, {"change": 1.0}, r"change must be in \(0, 1\), got 1"),
        (DDN, {"steps": 0}, "steps must be at least 1, got 0"),
        (DDN, {"step_size": math.inf}, "step_size must be above 0"),
        (DDN, {"change": 0.0}, r"change must be in \(0, 1\), got 0"),
        (DDN, {"loss": "ce"}, "loss must be one of"),
        (CarliniWagner, {"searches": 0}, "searches must be at least 1, got 0"),
        (CarliniWagner, {"rate": -1.0}, "rate must be above 0, got -1"),
        (CarliniWagner, {"confidence": -1.0}, "confidence must be at least 0"),
    ],
)
def test_bad_options_are_one_sentence(attack: Any, options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        attack(**options)
