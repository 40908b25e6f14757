"""Minimum-norm attacks beside other libraries on the same weights, and what is wrong with some."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack import carlini_wagner
from gradwarden.attack.carlini_wagner import CarliniWagner
from gradwarden.attack.ddn import DDN
from gradwarden.attack.fab import FAB
from gradwarden.attack.fmn import FMN
from gradwarden.attack.min_norm import MinimumNorm
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.geometry import Ball
from gradwarden.core.threat import Threat

BALLS: dict[str, Ball] = {"L0": L0(3), "L1": L1(1.0), "L2": L2(0.5), "LInf": Linf(0.1)}


def module(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


def curved() -> nn.Module:
    """x [N, 1, 6, 6] -> 5 logits."""
    torch.manual_seed(0)
    first, last = nn.Linear(36, 32), nn.Linear(32, 5)
    net = nn.Sequential(nn.Flatten(), first, nn.Tanh(), last)
    with torch.no_grad():
        first.weight.mul_(3)
        last.bias.sub_(net(torch.rand(500, 1, 6, 6)).mean(0))
    return net.eval()


def data(model: Callable[[Tensor], Tensor], n: int = 40) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 1, 6, 6, generator=torch.Generator().manual_seed(2)) * 0.9 + 0.05
    return x, model(x).argmax(1)


def foolbox(model: nn.Module, x: Tensor, y: Tensor, name: str, **options: Any) -> Tensor:
    """What foolbox's attack `name` returns as nearest."""
    library = module("foolbox")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = library.PyTorchModel(model, bounds=(0.0, 1.0), device="cpu")
        made: Tensor = getattr(library.attacks, name)(**options)(wrapped, x, y, epsilons=None)[1]
    return made


def sizes(model: nn.Module, ball: Ball, x_adv: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Distances of those points that are misclassified; infinite elsewhere."""
    size = ball.size(x_adv.double() - x.double())
    return size.masked_fill(model(x_adv).argmax(1) == y, math.inf)


def ours(model: nn.Module, ball: Ball, attack: MinimumNorm, x: Tensor, y: Tensor) -> Tensor:
    found = attack.nearest(model, x, y, Threat(ball=ball))
    assert torch.equal(found.size, sizes(model, ball, found.x_adv, x, y))
    return found.size


@pytest.mark.parametrize("norm", BALLS)
def test_fmn_comes_as_near_as_foolbox(norm: str) -> None:
    model = curved()
    x, y = data(model)
    theirs = sizes(model, BALLS[norm], foolbox(model, x, y, f"{norm}FMNAttack", steps=60), x, y)
    mine = ours(model, BALLS[norm], FMN(steps=60), x, y)
    assert mine.median() <= theirs.median() * 1.005
    assert (mine <= theirs * 1.02).float().mean() >= 0.9


def test_ddn_comes_as_near_as_foolbox() -> None:
    model = curved()
    x, y = data(model)
    theirs = sizes(model, L2(0.5), foolbox(model, x, y, "DDNAttack", steps=60), x, y)
    mine = ours(model, L2(0.5), DDN(steps=60), x, y)
    assert mine.median() <= theirs.median() * 1.01
    assert (mine <= theirs * 1.05).float().mean() >= 0.9


def test_carlini_wagner_with_the_same_options_finds_what_foolbox_finds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(carlini_wagner, "EDGE", 1 - 1e-6)
    model = curved()
    x, y = data(model, 20)
    options = {"steps": 100, "binary_search_steps": 6, "stepsize": 0.01}
    made = foolbox(model, x, y, "L2CarliniWagnerAttack", initial_const=0.01, **options)
    theirs = sizes(model, L2(0.5), made, x, y)
    alike = CarliniWagner(searches=6, steps=100, rate=0.01, price=0.01)
    mine = ours(model, L2(0.5), alike, x, y)
    assert float((mine / theirs).median()) == pytest.approx(1.0, abs=0.02)
    assert (mine <= theirs * 1.01).float().mean() >= 0.8  # they stop a batch as a whole


def test_carlini_wagner_moves_from_the_ends_of_the_box_where_foolbox_hardly_does() -> None:
    """tanh has a slope of 2e-6 where both begin by the paper; ours begin farther in."""
    model = curved()
    x, y = data(model)
    x = x.round()
    y = model(x).argmax(1)
    options = {"steps": 60, "binary_search_steps": 6, "stepsize": 0.01}
    theirs = sizes(model, L2(0.5), foolbox(model, x, y, "L2CarliniWagnerAttack", **options), x, y)
    mine = ours(model, L2(0.5), CarliniWagner(searches=6, steps=60), x, y)
    assert mine.median() < theirs.median() * 0.9


@pytest.mark.parametrize("norm", ["L1", "L2", "LInf"])
def test_fab_comes_as_near_as_autoattack(norm: str) -> None:
    model, targets = curved(), 4
    x, y = data(model)
    name = "Linf" if norm == "LInf" else norm
    made = module("pyautoattack.fab_pt").FABAttack_PT(
        model, norm=name, n_iter=20, eps=9.0, n_target_classes=targets, device="cpu", seed=0
    )
    theirs = torch.full((len(x),), math.inf, dtype=torch.float64)
    for target in range(2, targets + 2):
        made.target_class = target
        x_adv = made.attack_single_run(x, y, use_rand_start=False, is_targeted=True)
        theirs = theirs.minimum(sizes(model, BALLS[norm], x_adv, x, y))
    mine = ours(model, BALLS[norm], FAB(steps=20, targets=targets), x, y)
    assert mine.median() <= theirs.median() * 1.005
    assert (mine <= theirs * 1.02).float().mean() >= 0.9


def test_negative_logits_stop_torchattacks_and_not_ours() -> None:
    """Its CW takes 0 for the own class in the maximum over the others, so that it stops at once."""

    class Shifted(nn.Module):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.net, self.by = curved(), by

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.net(x)
            return logits - self.by

    shifted, plain = Shifted(64.0).eval(), Shifted(0.0).eval()
    x, y = data(plain, 20)
    their = module("torchattacks").CW
    broken = [
        float((model(their(model, c=20, steps=60, lr=0.02)(x, y)).argmax(1) != y).float().mean())
        for model in (plain, shifted)
    ]
    assert broken[0] > 0.5
    assert broken[1] < 0.1
    for attack in (CarliniWagner(searches=6, steps=40), FMN(steps=30), DDN(steps=30), FAB(steps=9)):
        one, two = (ours(model, L2(0.5), attack, x, y) for model in (plain, shifted))
        torch.testing.assert_close(one, two, rtol=0.02, atol=1e-4)


def test_a_model_of_probabilities_costs_foolbox_distance_and_fmn_little() -> None:
    """A margin of probabilities has hardly a slope where the model is sure (foolbox issue 618)."""

    class Probabilities(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = curved()

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.net(x)
            return (40 * logits).softmax(1)

    model = Probabilities().eval()
    x, y = data(model, 20)
    options = {"steps": 60, "binary_search_steps": 6, "stepsize": 0.01}
    theirs = sizes(model, L2(0.5), foolbox(model, x, y, "L2CarliniWagnerAttack", **options), x, y)
    fmn = ours(model, L2(0.5), FMN(steps=60), x, y)
    logits = ours(model.net, L2(0.5), FMN(steps=60), x, y)
    assert theirs.mean() > logits.mean() * 1.1
    assert (fmn <= logits * 1.05).float().mean() >= 0.9
