"""FGSM and PGD against oracles: exact distances of a linear model, each other, another library."""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Strongest, Targeted, Untargeted
from gradwarden.core.threat import Threat


class Plane:
    """Two classes on either side of the plane w (x - 0.5) = 0, which is at a known distance."""

    def __init__(self, size: int) -> None:
        self.w = torch.randn(size, generator=torch.Generator().manual_seed(size))

    def margin(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - 0.5) @ self.w

    def __call__(self, x: Tensor) -> Tensor:
        return torch.stack([-self.margin(x), self.margin(x)], 1)


def net(size: int = 20, classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, classes))
    return layers.eval()


@pytest.mark.parametrize(
    "attack", [FGSM(), PGD(steps=100), PGD(steps=100, loss="margin")], ids=repr
)
@pytest.mark.parametrize(("ball", "dual"), [(Linf, 1), (L2, 2)])
@pytest.mark.parametrize("shape", [(8,), (4, 6), (3, 5, 5)])
def test_succeeds_exactly_when_the_plane_is_in_reach(
    attack: FGSM | PGD, ball: type[Linf | L2], dual: int, shape: tuple[int, ...]
) -> None:
    model, rng = Plane(math.prod(shape)), torch.Generator().manual_seed(1)
    for x in (torch.rand(8, *shape, generator=rng) * 0.1 + 0.45).split(1):
        distance = float(model.margin(x).abs() / torch.linalg.vector_norm(model.w, dual))
        for ratio, reached in ((1.05, True), (0.95, False)):
            threat = Threat(ball=ball(distance * ratio), box=(-9.0, 9.0))
            assert bool(attack.run(model, x, model(x).argmax(1), threat).success) is reached


def test_a_targeted_attack_reaches_its_class_and_no_other_counts() -> None:
    model, x = net(), torch.rand(32, 20, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    found = PGD(steps=30).run(model, x, y, Threat(ball=Linf(0.3), goal=Targeted(2)))
    predicted = model(found.x_adv).argmax(1)
    assert torch.equal(found.success, predicted == 2)
    assert found.success.float().mean() > 0.5


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999), radius=st.floats(0.01, 0.5))
def test_one_long_step_is_fgsm(seed: int, radius: float) -> None:
    """Two radii reach the corner of the Linf ball from any start of a linear model."""
    rng = torch.Generator().manual_seed(seed)
    model, x = Plane(12), torch.rand(64, 12, generator=rng)
    y, threat = model(x).argmax(1), Threat(ball=Linf(radius))
    long = PGD(steps=1, step_size=2.01).run(model, x, y, threat, seed=seed)
    fgsm = FGSM().run(model, x, y, threat)
    by_hand = (x + radius * torch.outer(1.0 - 2.0 * y, model.w.sign())).clamp(0.0, 1.0)
    assert torch.equal(fgsm.success, model(by_hand).argmax(1) != y)
    assert torch.equal(long.success, fgsm.success)
    kept = ~fgsm.success
    torch.testing.assert_close(fgsm.x_adv[kept], by_hand[kept])
    torch.testing.assert_close(long.x_adv[kept], by_hand[kept])


def test_the_last_point_is_scored() -> None:
    """A single step reaches the class boundary at its end: an unscored last point would miss it."""
    model = Plane(8)
    x = torch.full((1, 8), 0.5) + 0.01 * model.w.sign()
    found = PGD(steps=1, step_size=2.0).run(model, x, model(x).argmax(1), Threat(ball=Linf(0.011)))
    assert found.success.all()


def test_the_best_point_is_returned_not_the_last() -> None:
    """The path crosses a thin adversarial band and leaves it again."""

    def band(x: Tensor) -> Tensor:
        inside = torch.exp(-((x[:, 0] - 0.55) ** 2) / 1e-4)
        return torch.stack([1.0 - 0.5 * x[:, 0], 1.5 * inside], 1)

    x, y = torch.full((1, 1), 0.5), torch.zeros(1, dtype=torch.long)
    threat = Threat(ball=Linf(0.2))
    hits = [
        bool(PGD(steps=30, step_size=0.02).run(band, x, y, threat, seed=seed).success)
        for seed in range(20)
    ]
    assert sum(hits) >= 5
    for seed in range(20):
        found = PGD(steps=30, step_size=0.02).run(band, x, y, threat, seed=seed)
        assert bool(found.success) == bool(band(found.x_adv).argmax(1) != y)


def test_restarts_only_help_and_say_which_of_them_won() -> None:
    def waves(x: Tensor) -> Tensor:
        z = torch.sin(60 * x).sum(1)
        return torch.stack([z + 2.9, torch.zeros_like(z)], 1)

    x = torch.rand(64, 3, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(64, dtype=torch.long)
    threat = Threat(ball=Linf(0.05))
    one = PGD(steps=3, step_size=0.2).run(waves, x, y, threat)
    many = PGD(steps=3, step_size=0.2, restarts=6).run(waves, x, y, threat)
    assert (many.success | ~one.success).all()
    assert many.success.sum() > one.success.sum()
    assert int(many.restart[many.success].max()) > 0
    assert torch.equal(many.x_adv[one.success], one.x_adv[one.success])


def test_a_fallen_sample_costs_no_more_passes() -> None:
    model = Plane(8)
    x = torch.full((2, 8), 0.5) + torch.tensor([[0.001], [0.4]]) * model.w.sign()
    found = PGD(steps=20).run(model, x, model(x).argmax(1), Threat(ball=Linf(0.1)))
    assert found.success.tolist() == [True, False]
    assert found.forwards[0] < 10
    assert found.forwards[1] == 22
    assert found.backwards[1] == 20


def test_without_a_gradient_the_random_start_is_kept() -> None:
    model = Plane(6)
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.3))
    start = PGD(steps=0).run(model, x, y, threat, seed=3)
    blind = PGD(steps=5).run(lambda z: model(z.detach()), x, y, threat, seed=3)
    assert torch.equal(blind.x_adv, start.x_adv)
    assert not blind.backwards.any()


def test_a_search_that_nothing_moves_comes_to_rest() -> None:
    """Blind, and the same twice: the points stay, so all further steps would ask the same."""
    model = Plane(6)
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.001))
    found = PGD(steps=40).run(lambda z: model(z.detach()), x, y, threat, seed=3)
    assert not found.success.any()
    assert int(found.forwards.max()) <= 6


def test_a_model_that_draws_is_asked_to_the_last_step() -> None:
    """No gradient, and other answers each time: any of them may be the one that breaks."""
    model, chance = Plane(6), torch.Generator().manual_seed(0)
    x = torch.rand(5, 6, generator=torch.Generator().manual_seed(0))
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.01))

    def drawing(z: Tensor) -> Tensor:
        logits = model(z.detach())
        return logits + 1e-3 * torch.randn(logits.shape, generator=chance)

    found = PGD(steps=40).run(drawing, x, y, threat, seed=3)
    assert found.forwards[~found.success].tolist() == [42] * int((~found.success).sum())
    assert not found.success.all()


def test_strongest_goes_past_the_first_success() -> None:
    model, x = net(), torch.rand(32, 20, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    threat = Threat(ball=Linf(0.2))
    hard = Threat(ball=Linf(0.2), goal=Strongest(Untargeted()))
    first, strongest = (PGD().run(model, x, y, t) for t in (threat, hard))
    assert not strongest.success.any()
    assert (strongest.loss >= first.loss - 1e-6).all()
    assert strongest.loss.mean() > first.loss.mean() + 0.05


def _foolbox(model: nn.Module, attack: Any, x: Tensor, y: Tensor, radius: float) -> Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox: Any = import_module("foolbox")

        wrapped = foolbox.PyTorchModel(model, bounds=(0.0, 1.0), device="cpu")
        made: Tensor = attack(foolbox)(wrapped, x, y, epsilons=radius)[1]
    return made


@pytest.mark.parametrize("ball", [Linf, L2])
def test_fgsm_agrees_with_foolbox(ball: type[Linf | L2]) -> None:
    model, x = net(), torch.rand(64, 20, generator=torch.Generator().manual_seed(4))
    y, radius = model(x).argmax(1), 0.05
    name = "LinfFastGradientAttack" if ball is Linf else "L2FastGradientAttack"
    theirs = _foolbox(model, lambda f: getattr(f.attacks, name)(), x, y, radius)
    ours = FGSM().run(model, x, y, Threat(ball=ball(radius)))
    better = (model(ours.x_adv) - model(x)).abs().sum(1) > 0
    torch.testing.assert_close(ours.x_adv[better], theirs[better], rtol=1e-4, atol=1e-6)
    assert better.float().mean() > 0.9


@pytest.mark.parametrize("ball", [Linf, L2])
def test_pgd_breaks_at_least_what_foolbox_breaks(ball: type[Linf | L2]) -> None:
    model, x = net(), torch.rand(200, 20, generator=torch.Generator().manual_seed(5))
    y, radius = model(x).argmax(1), 0.06 if ball is Linf else 0.2
    name = "LinfPGD" if ball is Linf else "L2PGD"
    make = {"steps": 40, "rel_stepsize": 0.1}
    theirs = _foolbox(model, lambda f: getattr(f.attacks, name)(**make), x, y, radius)
    ours = PGD().run(model, x, y, Threat(ball=ball(radius)))
    assert ours.success.sum() >= (model(theirs).argmax(1) != y).sum() - 2
    assert 0.05 < ours.success.float().mean() < 0.95


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"step_size": 0.0}, "step_size must be above 0"),
        ({"step_size": math.nan}, "step_size must be above 0"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"loss": "ce"}, "loss must be one of cross-entropy, margin, .*each, got 'ce'"),
        ({"schedule": "linear"}, "schedule must be one of constant, cosine, got 'linear'"),
        ({"start": "corner"}, "start must be one of random, adi.*got 'corner'"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        PGD(**options)
