"""SPSA against a slow twin, closed forms, and torchattacks, which takes one step."""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.losses import loss_of
from gradwarden.attack.pgd import PGD
from gradwarden.attack.spsa import SPSA
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Problem
from gradwarden.core.threat import Threat

each_kind = pytest.mark.parametrize("directions", ["signs", "normal"])


def plane(size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(size))


def halves(x: Tensor) -> Tensor:
    """Two classes on either side of a plane through 0.5, without a gradient."""
    assert not x.requires_grad
    z = (x.flatten(1) - 0.5) @ plane(x[0].numel()).to(x)
    return torch.stack([-z, z], 1)


def problem(x: Tensor, y: Tensor, threat: Threat) -> Problem:
    return Problem(halves, threat, loss_of(threat.goal, "margin"), x, y, range(len(x)))


@each_kind
def test_the_estimate_is_the_mean_over_pairs(directions: str) -> None:
    """The slow twin: one sample and one pair after another; 70 pairs are three portions."""
    x, y = torch.rand(3, 2, 4).double() * 0.2 + 0.4, torch.tensor([0, 1, 0])
    attack, threat = SPSA(pairs=70, directions=directions), Threat(ball=Linf(0.1))
    got = attack._gradient(problem(x, y, threat), x + 0.01, Draws(0, range(3), "SPSA"))
    draws = Draws(0, range(3), "SPSA")
    want = torch.zeros_like(x)
    for count in (32, 32, 6):
        chance = (draws.uniform if directions == "signs" else draws.normal)(x, count, 2, 4)
        u = (chance < 0.5) * 2.0 - 1.0 if directions == "signs" else chance
        for row in range(3):
            for pair in range(count):
                side = 1 - 2 * int(y[row])
                above, below = (
                    side * (x[row] + 0.01 + s * 0.01 * u[row, pair] - 0.5).flatten()
                    for s in (1, -1)
                )
                slope = 2 * (above - below) @ plane(8).double() / 0.02
                want[row] += slope * u[row, pair] / 70
    torch.testing.assert_close(got, want)


@each_kind
def test_the_estimate_tends_to_the_gradient(directions: str) -> None:
    x, y = torch.full((1, 6), 0.5), torch.tensor([0])
    attack, threat = SPSA(pairs=20_000, directions=directions), Threat(ball=Linf(0.1))
    got = attack._gradient(problem(x, y, threat), x, Draws(0, [0]))
    torch.testing.assert_close(got[0], 2 * plane(6), rtol=0, atol=0.15)


def test_pairs_lie_about_the_current_point() -> None:
    """CleverHans asks about 2 x -+ delta instead (its issue 1249)."""
    asked: list[Tensor] = []

    def model(x: Tensor) -> Tensor:
        asked.append(x)
        return halves(x)

    x = torch.full((1, 6), 0.5) + 0.2 * plane(6)[None].sign()
    threat = Threat(ball=Linf(0.15), box=(-9.0, 9.0))
    found = SPSA(steps=5, pairs=8, step_size=0.001).run(model, x, torch.tensor([1]), threat)
    assert [len(points) for points in asked] == [1] + [8, 8, 1] * 5
    for step in range(5):
        current, above, below = (asked[3 * step + i] for i in range(3))
        middle = (above + below) / 2
        torch.testing.assert_close(middle, current.expand_as(middle))
        torch.testing.assert_close((above - below).abs(), torch.full((8, 6), 2 * 0.01 * 18))
    assert not torch.equal(asked[0], asked[-1])
    assert int(found.forwards) == sum(map(len, asked)) == 1 + 5 * 17


@each_kind
@pytest.mark.parametrize(("ball", "dual"), [(Linf, 1), (L2, 2)])
def test_succeeds_where_the_plane_is_in_reach(
    directions: str, ball: type[Linf | L2], dual: int
) -> None:
    w = plane(16)
    x = 0.5 + 0.05 * float(torch.linalg.vector_norm(w, dual)) * w / w.square().sum()
    x, y = x.expand(6, 16), torch.ones(6, dtype=torch.long)
    attack = SPSA(steps=60, pairs=64, directions=directions)
    for radius, reached in ((0.056, True), (0.0499, False)):
        found = attack.run(halves, x, y, Threat(ball=ball(radius)))
        assert torch.equal(found.success, torch.full((6,), reached))
        assert not found.backwards.any()
    assert (found.forwards == 1 + 60 * 129).all()


def test_units_are_those_of_the_box() -> None:
    """A feature in millions and one in millionths: the path is that of the unit box."""
    w, x, y = plane(4), torch.rand(5, 4) * 0.2 + 0.4, torch.zeros(5, dtype=torch.long)
    scale = torch.tensor([1e6, 1e-6, 1.0, 32.0])
    plain = SPSA(steps=4, pairs=4).run(halves, x, y, Threat(ball=Linf(1e6)))
    box = ((0.0,) * 4, tuple(scale.tolist()))
    wide = SPSA(steps=4, pairs=4).run(
        lambda z: halves(z / scale), x * scale, y, Threat(ball=Linf(1e6), box=box)
    )
    torch.testing.assert_close(wide.x_adv / scale, plain.x_adv, rtol=1e-3, atol=1e-4)
    assert len(w) == 4


def net() -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 5))
    return layers.eval()


def test_it_comes_near_pgd_and_torchattacks_default_does_not() -> None:
    """Theirs takes one step unless told (`nb_iter=1`), which cannot leave x by more than 0.01."""
    model, x = net(), torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.06))
    pgd = PGD(loss="margin").run(model, x, y, threat)
    ours = SPSA(steps=25, pairs=32).run(model, x, y, threat)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchattacks: Any = import_module("torchattacks")
        attack = torchattacks.SPSA(model, eps=0.06)
        state = torch.get_rng_state()
        theirs = attack(x, y)
        torch.set_rng_state(state)
    assert float((theirs - x).abs().max()) <= 0.01 + 1e-6
    broken = int((model(theirs).argmax(1) != y).sum())
    assert int(ours.success.sum()) >= 0.9 * int(pgd.success.sum())
    assert broken < 0.5 * int(ours.success.sum())


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": 0}, "steps must be at least 1, got 0"),
        ({"pairs": 0}, "pairs must be at least 1, got 0"),
        ({"delta": 0.0}, "delta must be above 0, in widths of the box, got 0.0"),
        ({"step_size": math.inf}, "step_size must be above 0, in widths of the box, got inf"),
        ({"directions": "nes"}, "directions must be one of signs, normal, got 'nes'"),
        ({"loss": "ce"}, "loss must be one of"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        SPSA(**options)
