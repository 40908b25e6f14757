"""Square against closed forms, slow twins of its moves, and AutoAttack's."""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.blocks import bump, planes, sides
from gradwarden.attack.moves import PLACES, Bumps, Corners, moves
from gradwarden.attack.noise import Noise
from gradwarden.attack.square import Square
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
from gradwarden.core.goal import Targeted
from gradwarden.core.threat import Threat


def plane(size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(size))


def halves(w: Tensor) -> Any:
    """Two classes on either side of w (x - 0.5) = 0, without a gradient."""

    def model(x: Tensor) -> Tensor:
        assert not x.requires_grad
        z = (x.detach().flatten(1) - 0.5) @ w
        return torch.stack([-z, z], 1)

    return model


def net(*shape: int, classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    size = math.prod(shape)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, classes))
    return layers.eval()


def images(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(1))


def at_distance(distance: float, w: Tensor, *shape: int) -> tuple[Tensor, Tensor]:
    """Six samples and their classes, whose margin over the plane is `distance` in each."""
    x = images(6, *shape) * 0.1 + 0.45
    margin, y = (x.flatten(1) - 0.5) @ w, torch.arange(6) % 2
    move = (distance * (2 * y - 1) - margin)[:, None] * w / w.square().sum()
    return x + move.view(x.shape), y


@pytest.mark.parametrize("shape", [(12,), (3, 8), (1, 6, 6), (3, 5, 4)])
def test_linf_reaches_the_corner_of_a_plane(shape: tuple[int, ...]) -> None:
    w = plane(math.prod(shape))
    x, y = at_distance(0.1 * float(w.abs().sum()), w, *shape)
    for radius, reached in ((0.105, True), (0.0999, False)):
        threat = Threat(ball=Linf(radius), box=(-9.0, 9.0))
        found = Square(queries=600).run(halves(w), x, y, threat)
        assert torch.equal(found.success, torch.full((6,), reached))


def test_features_of_any_range_reach_their_own_corner() -> None:
    """One in units of a millionth, one in millions; the ball in units of the box."""
    low, high = torch.tensor([0.0, -1e6, 0.0, 5.0]), torch.tensor([1e-6, 1e6, 1.0, 9.0])
    w = torch.tensor([1.0, -2.0, 3.0, 1.0]) / (high - low)
    x = (low + high) / 2 + (high - low) * 0.05 * w.sign()
    ball = Scaled(Linf(0.2), nested(high - low))
    threat = Threat(ball=ball, box=(nested(low), nested(high)))

    def model(x: Tensor) -> Tensor:
        z = ((x - (low + high) / 2) * w).sum(1) + 0.69
        return torch.stack([z, -z], 1)

    found = Square(queries=200).run(model, x[None], torch.tensor([0]), threat)
    assert found.success.all()  # 0.05 * 7 + 0.69 - 0.2 * 7 < 0, and nothing short of the corner
    assert threat.allows(found.x_adv, x[None]).all()


@pytest.mark.parametrize("shape", [(16,), (2, 10), (1, 7, 7)])
def test_l2_comes_near_the_distance_of_a_plane(shape: tuple[int, ...]) -> None:
    w = plane(math.prod(shape))
    x, y = at_distance(0.1 * float(w.norm()), w, *shape)
    for radius, reached in ((0.16, True), (0.0999, False)):
        threat = Threat(ball=L2(radius), box=(-9.0, 9.0))
        found = Square(queries=600).run(halves(w), x, y, threat)
        assert torch.equal(found.success, torch.full((6,), reached))


@pytest.mark.parametrize(
    "ball",
    [
        L0(6),
        L1(1.5),
        Patch(shape=(3, 2), radius=0.5),
        Patch(shape=(3, 3), at=(2, 3)),
        Patch(shape=(2,), radius=0.25),
        Scaled(L2(0.6), 2.0),
    ],
    ids=repr,
)
def test_any_ball_beats_as_many_random_points(ball: Ball) -> None:
    model, x = net(2, 8, 8), images(60, 2, 8, 8)
    y, threat = model(x).argmax(1), Threat(ball=ball)
    found = Square(queries=150).run(model, x, y, threat)
    noise = Noise(draws=150).run(model, x, y, threat)
    assert threat.allows(found.x_adv, x).all()
    assert found.success.sum() > noise.success.sum()
    assert found.success.sum() >= 10


def test_a_targeted_search_reaches_its_class() -> None:
    model, x = net(20), images(40, 20)
    y = model(x).argmax(1)
    found = Square(queries=300).run(model, x, y, Threat(ball=Linf(0.3), goal=Targeted(2)))
    assert torch.equal(found.success, model(found.x_adv).argmax(1) == 2)
    assert found.success.float().mean() > 0.5


def test_a_block_is_where_its_numbers_say() -> None:
    """The slow twin of a Linf move: slices, one sample after another."""
    x, threat = images(40, 3, 9, 7), Threat(ball=Linf(0.2))
    move = moves(threat, x)
    assert isinstance(move, Corners)
    now = move.first(Draws(0, range(40)))
    for share in (0.8, 0.3, 0.05, 0.001):
        chance = torch.rand(40, PLACES + 3, generator=torch.Generator().manual_seed(2))
        tried = move.next(now, share, chance)
        height, width = sides(share, planes(x))
        assert height * width == pytest.approx(share * 63, rel=0.3, abs=1)
        for row in range(40):
            top, left = (
                int(chance[row, i] * (side - size + 1))
                for i, (side, size) in enumerate([(9, height), (7, width)])
            )
            window = (slice(None), slice(top, top + height), slice(left, left + width))
            for flip in (False, True):
                want = now[row].clone()
                for channel in range(3):
                    up = bool(chance[row, PLACES + channel] < 0.5) ^ flip
                    end = x[row] + (0.2 if up else -0.2)
                    want[channel][window[1:]] = end.clamp(0.0, 1.0)[channel][window[1:]]
                if not torch.equal(want, now[row]):
                    break
            torch.testing.assert_close(tried[row], want)
            assert not torch.equal(tried[row], now[row])
        now = tried


def test_the_first_points_are_stripes_at_the_ends() -> None:
    x, threat = images(20, 2, 6, 8), Threat(ball=Linf(0.2), box=(-9.0, 9.0))
    delta = (moves(threat, x).first(Draws(0, range(20))) - x) / 0.2
    torch.testing.assert_close(delta.abs(), torch.ones_like(delta))
    torch.testing.assert_close(delta, delta[:, :, :1].expand_as(delta))
    assert len({tuple(row.flatten().round().tolist()) for row in delta[:, :, 0]}) == 20


def test_a_bump_moves_length_from_block_to_block() -> None:
    """The slow twin of an L2 move, by alg. 3 of the paper."""
    x, threat = images(30, 2, 10, 10) * 0.2 + 0.4, Threat(ball=L2(0.9), box=(-9.0, 9.0))
    move = moves(threat, x)
    assert isinstance(move, Bumps)
    now = move.first(Draws(0, range(30)))
    for share in (0.8, 0.2, 0.01):
        chance = torch.rand(30, PLACES + 2, generator=torch.Generator().manual_seed(3))
        tried = move.next(now, share, chance)
        side, _ = sides(share, planes(x), least=3)
        for row in range(30):
            corner = [int(u * (10 - side + 1)) for u in chance[row, :4]]
            one, two = (
                (slice(corner[i], corner[i] + side), slice(corner[i + 1], corner[i + 1] + side))
                for i in (0, 2)
            )
            delta = now[row] - x[row]
            either = torch.zeros(10, 10, dtype=torch.bool)
            either[one] = either[two] = True
            spare = max(0.9**2 - float(delta.square().sum()), 0.0)
            shape = bump(side, side) if chance[row, 4] < 0.5 else bump(side, side).T
            want = delta.clone()
            for channel in range(2):
                want[channel][two] = 0.0
                old = delta[channel][one]
                sign = 1.0 if chance[row, PLACES + channel] < 0.5 else -1.0
                new = sign * shape + old / old.norm().clamp(min=1e-30)
                length = (spare / 2 + float(delta[channel][either].square().sum())) ** 0.5
                want[channel][one] = new / new.norm() * length
            want = want / want.norm() * 0.9
            torch.testing.assert_close(tried[row] - x[row], want, rtol=1e-3, atol=1e-5)
        now = tried


def test_a_bump_is_a_hill_beside_a_hollow() -> None:
    rings = torch.tensor([1 / 9 + 1 / 4 + 1, 1 / 9 + 1 / 4, 1 / 9])  # around the middle of 5 x 5
    hollow = bump(9, 5)[4:]
    torch.testing.assert_close(hollow[2, 2:] / hollow[2, 2], rings / rings[0])
    assert torch.equal(hollow, hollow.flip(0))
    assert (hollow < 0).all()
    assert (bump(9, 5)[:4] > 0).all()
    for size in ((1, 1), (1, 2), (1, 9), (3, 3), (8, 2)):
        assert float(bump(*size).norm()) == pytest.approx(1.0)
        assert bump(*size).shape == size


def test_blocks_shrink_as_in_the_paper_whatever_the_number_of_queries() -> None:
    long, short = Square(queries=10_000, share=0.8), Square(queries=1000, share=0.8)
    halves = {0: 0, 10: 0, 11: 1, 51: 2, 201: 3, 501: 4, 1001: 5, 2001: 6, 4001: 7, 6001: 8}
    for step, times in (halves | {8001: 9, 9999: 9}).items():
        assert long._share(step) == 0.8 / 2**times
        if step % 10 == 1:
            assert short._share(step // 10 + 1) == 0.8 / 2**times


def test_a_search_goes_on_from_its_stripes_and_returns_no_worse_than_x() -> None:
    """Every corner of the ball is worse than x, by more the farther from one of them."""
    model, x = net(16), torch.full((1, 16), 0.5)

    def pit(z: Tensor) -> Tensor:
        far = (z - 0.5).abs().amax(1)
        lower = torch.where(far > 0, -2.0 + (z > 0.5).float().mean(1), -1.0)
        return torch.stack([-lower, torch.zeros_like(lower)], 1)

    y, threat = torch.zeros(1, dtype=torch.long), Threat(ball=Linf(0.1))
    found = Square(queries=300).run(pit, x, y, threat)
    assert float(found.margin) == -1.0
    del model
    assert int(found.forwards) == 301
    assert torch.equal(found.x_adv, x)


def test_restarts_and_passes_are_counted() -> None:
    w, calls = plane(30), []

    def model(x: Tensor) -> Tensor:
        calls.append(len(x))
        return torch.stack([z := (x - 0.5) @ w, -z], 1)

    x, y = images(20, 30), torch.zeros(20, dtype=torch.long)
    found = Square(queries=40, restarts=3).run(model, x, y, Threat(ball=Linf(0.05)))
    assert int(found.forwards.sum()) == sum(calls)
    assert not found.backwards.any()
    stands = ~found.success
    assert stands.any()
    assert (found.forwards[stands] == 1 + 3 * 40).all()
    assert int(found.restart[found.success].max()) > 0


def theirs(model: Any, x: Tensor, y: Tensor, ball: Linf | L2, queries: int) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        square: Any = import_module("pyautoattack.square")
        norm = type(ball).__name__
        attack = square.SquareAttack(
            model, norm=norm, n_queries=queries, eps=ball.radius, seed=0, device="cpu"
        )
        with torch.no_grad():
            made: Tensor = attack.perturb(x, y)
    return made


@pytest.mark.parametrize(("ball", "queries"), [(Linf(0.045), 300), (L2(0.5), 300)], ids=repr)
def test_breaks_as_many_as_autoattacks(ball: Linf | L2, queries: int) -> None:
    """On 10 x 10 pixels: theirs crashes in L2 where a fifth of the side does not divide it."""
    model, x = net(1, 10, 10), images(150, 1, 10, 10)
    y = model(x).argmax(1)
    made = theirs(model, x, y, ball, queries)
    ours = Square(queries=queries).run(model, x, y, Threat(ball=ball))
    broken = int((model(made).argmax(1) != y).sum())
    assert 30 < broken < 120
    assert int(ours.success.sum()) >= broken - 8


def test_a_sample_does_not_depend_on_its_batch_as_in_autoattack() -> None:
    model, x = net(1, 10, 10), images(8, 1, 10, 10)
    y, ball = model(x).argmax(1), Linf(0.1)
    together, alone = (theirs(model, x[n:], y[n:], ball, 50)[-1] for n in (0, 7))
    assert not torch.allclose(together, alone)
    threat = Threat(ball=ball)
    whole = Square(queries=50).run(model, x, y, threat)
    one = Square(queries=50).run(model, x[7:], y[7:], threat, ids=[7])
    assert torch.equal(whole.x_adv[7:], one.x_adv)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"queries": 0}, "queries must be at least 1, got 0"),
        ({"share": 0.0}, r"share must be in \(0, 1\], got 0.0"),
        ({"share": math.nan}, r"share must be in \(0, 1\], got nan"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Square(**options)


def test_a_search_that_gives_up_loses_no_rising_margin_and_no_time_on_a_still_one() -> None:
    """Whoever falls, falls at the same point as ever, each by itself; the rest stops at a look."""
    model, x = net(1, 8, 8), images(24, 1, 8, 8)
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.03))
    whole = Square(queries=2600).run(model, x, y, threat)
    early = Square(queries=2600, give_up=True).run(model, x, y, threat)
    fell = early.success
    assert 0 < int(fell.sum()) < len(x)
    assert (whole.success >= fell).all()
    assert torch.equal(early.x_adv[fell], whole.x_adv[fell])
    assert torch.equal(early.forwards[fell], whole.forwards[fell])
    assert set(early.forwards[~fell].tolist()) <= {1002 + 500 * n for n in range(4)} | {2601}
    assert early.forwards[~whole.success].double().mean() < 0.7 * 2601
    for row in (0, 7):
        alone = Square(queries=2600, give_up=True).run(
            model, x[row : row + 1], y[row : row + 1], threat, ids=[row]
        )
        assert torch.equal(alone.forwards, early.forwards[row : row + 1])
