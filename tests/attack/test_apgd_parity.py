"""APGD beside other libraries' on the same weights, and where those are wrong.

Not compared: the L1 of torchattacks (has none) and of ART (its step is the whole gradient's
direction, not sparse; its projection leaves the box).
"""

from __future__ import annotations

import warnings
from functools import cache
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.geometry import Ball
from gradwarden.core.threat import Threat
from gradwarden.tasks.digits import digits

STEPS = 30


@cache
def trained() -> tuple[nn.Module, Tensor, Tensor]:
    """A small net, and 120 images that it knows."""
    train, test = digits().train, digits().test
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.Tanh(), nn.Linear(32, 10))
    optimizer = torch.optim.Adam(net.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(net(train.x), train.y).backward()
        optimizer.step()
    net.eval().requires_grad_(False)
    known = (net(test.x).argmax(1) == test.y).nonzero()[:120, 0]
    return net, test.x[known], test.y[known]


def _module(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


@pytest.mark.parametrize(
    ("ball", "norm"), [(Linf(0.035), "Linf"), (L2(0.55), "L2"), (L1(4.0), "L1")], ids=repr
)
@pytest.mark.parametrize(("loss", "theirs"), [("cross-entropy", "ce"), ("dlr", "dlr")])
def test_as_many_fall_as_to_autoattack(ball: Ball, norm: str, loss: str, theirs: str) -> None:
    net, x, y = trained()
    base = _module("pyautoattack.autopgd_base")
    options = {"n_iter": STEPS, "norm": norm, "eps": ball.radius, "device": "cpu", "seed": 0}
    for warm in (False, True) if norm == "L1" else (False,):
        attack = base.APGDAttack(net, loss=theirs, use_largereps=warm, **options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a sample whose gradient is 0 at its start
            adv = attack.perturb(x, y)
        their = int((net(adv).argmax(1) != y).sum())
        found = APGD(steps=STEPS, loss=loss, warm_up=warm).run(net, x, y, Threat(ball=ball))
        our = int(found.success.sum())
        assert 20 < our < 110
        assert our >= their - 2, (our, their)
        # In L1 more fall: no step is spent on elements that the box stops.
        assert norm == "L1" or our <= their + 2, (our, their)


@pytest.mark.parametrize(("ball", "norm"), [(Linf(0.035), "Linf"), (L2(0.55), "L2")], ids=repr)
def test_as_many_fall_as_to_targeted_autoattack(ball: Ball, norm: str) -> None:
    net, x, y = trained()
    base = _module("pyautoattack.autopgd_base")
    options = {"n_iter": 15, "norm": norm, "eps": ball.radius, "device": "cpu", "seed": 0}
    attack = base.APGDAttack_targeted(net, n_target_classes=9, **options)
    their = int((net(attack.perturb(x, y)).argmax(1) != y).sum())
    ours = APGD(steps=15, loss="dlr", targets=9).run(net, x, y, Threat(ball=ball))
    assert abs(int(ours.success.sum()) - their) <= 2


@pytest.mark.parametrize(("ball", "norm"), [(Linf(0.035), "Linf"), (L2(0.55), "L2")], ids=repr)
def test_as_many_fall_as_to_torchattacks(ball: Ball, norm: str) -> None:
    """Its defaults are 10 steps; with the same number of steps the two agree."""
    net, x, y = trained()
    apgd = _module("torchattacks").APGD
    adv = apgd(net, norm=norm, eps=ball.radius, steps=STEPS, loss="ce")(x, y)
    their = int((net(adv).argmax(1) != y).sum())
    ours = APGD(steps=STEPS).run(net, x, y, Threat(ball=ball))
    assert abs(int(ours.success.sum()) - their) <= 2


def _art(net: nn.Module, x: Tensor, y: Tensor, radius: float, step: float) -> Tensor:
    estimators = _module("art.estimators.classification")
    attacks = _module("art.attacks.evasion")
    classes = net(x).shape[1]
    wrapped = estimators.PyTorchClassifier(
        net, nn.CrossEntropyLoss(), tuple(x.shape[1:]), classes, clip_values=(0.0, 1.0)
    )
    attack = attacks.AutoProjectedGradientDescent(
        wrapped,
        eps=radius,
        eps_step=step,
        max_iter=STEPS,
        nb_random_init=1,
        batch_size=len(x),
        loss_type="cross_entropy",
        verbose=False,
    )
    return torch.from_numpy(attack.generate(x.numpy(), y.numpy()))


def test_more_fall_than_to_art() -> None:
    """ART judges a sample by its last point, and halves by the count of new maxima, not of rises."""
    net, x, y = trained()
    their = int((net(_art(net, x, y, 0.035, 0.07)).argmax(1) != y).sum())
    ours = APGD(steps=STEPS).run(net, x, y, Threat(ball=Linf(0.035)))
    assert their - 2 <= int(ours.success.sum()) <= their + 6


def test_art_loses_what_it_has_passed_by() -> None:
    """Beyond 0.9 another class wins; at 0.8 y does, by a hair, before eight others.

    There the cross-entropy is largest, so that the search comes back from where it has won.
    """

    class Peak(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = x.flatten(1)
            edge = torch.where(z > 0.9, 0.3, -9.0) + z * 0
            others = (-8 * (z - 0.8).abs() - 0.01).expand(-1, 8)
            return torch.cat([z * 0, edge, others], 1)

    net, x = Peak().eval(), torch.full((60, 1, 1, 1), 0.7)
    y = torch.zeros(60, dtype=torch.long)
    ours = APGD(steps=STEPS).run(net, x, y, Threat(ball=Linf(0.25)))
    theirs = net(_art(net, x, y, 0.25, 0.5)).argmax(1) != y
    assert ours.success.float().mean() > 0.6
    assert theirs.float().mean() < 0.3
