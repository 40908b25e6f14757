"""HopSkipJump against the known distance of a plane, and against foolbox's."""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.asking import AT_ONCE, TOGETHER, about, portions
from gradwarden.attack.hop_skip_jump import HopSkipJump
from gradwarden.attack.losses import loss_of
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Targeted
from gradwarden.core.search import Problem
from gradwarden.core.threat import Threat


def plane(size: int) -> Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(size))


def halves(x: Tensor) -> Tensor:
    assert not x.requires_grad
    z = (x.flatten(1) - 0.5) @ plane(x[0].numel())
    return torch.stack([-z, z], 1)


def net(size: int = 36, classes: int = 5) -> nn.Module:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Flatten(), nn.Linear(size, 32), nn.Tanh(), nn.Linear(32, classes))
    return layers.eval()


@pytest.mark.parametrize(("ball", "dual"), [(Linf, 1), (L2, 2)])
@pytest.mark.parametrize("shape", [(12,), (2, 5, 4)])
@pytest.mark.parametrize("box", [(-2.0, 3.0), (-math.inf, math.inf)])
def test_comes_within_five_percent_of_the_nearest_point(
    ball: type[Linf | L2], dual: int, shape: tuple[int, ...], box: tuple[float, float]
) -> None:
    w = plane(math.prod(shape))
    far = 0.05 * float(torch.linalg.vector_norm(w, dual))
    x = (0.5 + torch.tensor([[-far], [far]]) * w / w.square().sum()).view(2, *shape)
    y = torch.tensor([0, 1])
    for radius, reached in ((0.0525, True), (0.0499, False)):
        attack = HopSkipJump(steps=30 if reached else 6)
        found = attack.run(halves, x, y, Threat(ball=ball(radius), box=box))
        assert torch.equal(found.success, torch.full((2,), reached))
        assert not found.backwards.any()


@pytest.mark.parametrize("ball", [Linf(0.05), L2(0.25)], ids=repr)
def test_the_class_is_all_it_sees(ball: Linf | L2) -> None:
    model, x = net(), torch.rand(12, 36, generator=torch.Generator().manual_seed(0))
    y, threat = model(x).argmax(1), Threat(ball=ball)

    def answers(x: Tensor) -> Tensor:
        found: Tensor = nn.functional.one_hot(model(x).argmax(1), 5).float()
        return found

    attack = HopSkipJump(steps=3, first=30)
    soft, hard = (attack.run(m, x, y, threat) for m in (model, answers))
    assert 0 < int(soft.success.sum()) < 12
    assert torch.equal(soft.success, hard.success)
    assert torch.equal(soft.x_adv[soft.success], hard.x_adv[soft.success])
    assert torch.equal(soft.forwards, hard.forwards)


def test_passes_are_counted_and_the_fallen_cost_no_more() -> None:
    calls: list[int] = []
    model, x = net(), torch.rand(12, 36, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)

    def counted(x: Tensor) -> Tensor:
        calls.append(len(x))
        logits: Tensor = model(x)
        return logits

    found = HopSkipJump(steps=3, first=30).run(counted, x, y, Threat(ball=L2(0.25)))
    assert int(found.forwards.sum()) == sum(calls)
    assert found.forwards[found.success].min() < found.forwards[~found.success].min()


def test_without_a_first_point_x_stays() -> None:
    x, y = torch.rand(3, 8), torch.zeros(3, dtype=torch.long)

    def constant(x: Tensor) -> Tensor:
        return torch.ones(len(x), 2) * torch.tensor([1.0, 0.0])

    found = HopSkipJump(tries=7).run(constant, x, y, Threat(ball=L2(0.5)))
    assert torch.equal(found.x_adv, x)
    assert not found.success.any()
    assert found.forwards.tolist() == [8] * 3


def test_a_first_point_is_found_where_uniform_noise_has_the_samples_own_class() -> None:
    """Class 1 is what is brighter than any uniform noise."""

    def bright(x: Tensor) -> Tensor:
        z = x.flatten(1).mean(1) - 0.7
        return torch.stack([-z, z], 1)

    x, y = torch.full((4, 100), 0.5), torch.zeros(4, dtype=torch.long)
    found = HopSkipJump(steps=10).run(bright, x, y, Threat(ball=Linf(0.22)))
    assert found.success.all()


def test_a_targeted_search_reaches_its_class() -> None:
    model, x = net(classes=3), torch.rand(20, 36, generator=torch.Generator().manual_seed(0))
    y, threat = model(x).argmax(1), Threat(ball=L2(0.6), goal=Targeted(2))
    found = HopSkipJump(steps=6, first=50).run(model, x, y, threat)
    assert torch.equal(found.success, model(found.x_adv).argmax(1) == 2)
    assert found.success.sum() >= 5


def test_many_points_are_those_asked_one_by_one() -> None:
    model, x = net(), torch.rand(50, 36)
    y, threat = model(x).argmax(1), Threat(ball=L2(0.5))
    sizes: list[int] = []

    def watched(x: Tensor) -> Tensor:
        sizes.append(len(x))
        logits: Tensor = model(x)
        return logits

    task = Problem(watched, threat, loss_of(threat.goal, "margin"), x, y, range(50))
    points = x + torch.randn(100, 50, 36) * 0.2
    seen = about(task, points)
    assert max(sizes) <= TOGETHER
    assert sum(sizes) == 5000
    for k in (0, 41, 99):
        logits = model(points[k])
        torch.testing.assert_close(seen.margin[k], threat.goal.margin(logits, y))
        assert torch.equal(seen.reached[k], logits.argmax(1) != y)
    assert list(portions(2 * AT_ONCE + 3)) == [AT_ONCE, AT_ONCE, 3]


def test_as_near_as_foolbox_with_as_many_queries() -> None:
    model, x = net(), torch.rand(24, 36, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox: Any = import_module("foolbox")
        wrapped = foolbox.PyTorchModel(model, bounds=(0.0, 1.0), device="cpu")
        state = torch.get_rng_state()
        torch.manual_seed(0)
        attack = foolbox.attacks.HopSkipJumpAttack(
            steps=10, initial_gradient_eval_steps=100, max_gradient_eval_steps=1000
        )
        made = attack(wrapped, x, y, epsilons=None)[0]
        torch.set_rng_state(state)
    middle = float((made - x).norm(dim=1).median())
    found = HopSkipJump(steps=10, most=1000).run(model, x, y, Threat(ball=L2(middle * 1.02)))
    assert int(found.success.sum()) >= 10


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"first": 1}, "first must be at least 2, got 1"),
        ({"most": 1}, "most must be at least 2, got 1"),
        ({"tries": 0}, "tries must be at least 1, got 0"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        HopSkipJump(**options)


def test_another_ball_is_refused() -> None:
    x, y = torch.rand(2, 4), torch.zeros(2, dtype=torch.long)
    with pytest.raises(BadInput, match=r"needs a ball Linf or L2, got L1\(radius=1.0\)"):
        HopSkipJump().run(halves, x, y, Threat(ball=L1(1.0)))
