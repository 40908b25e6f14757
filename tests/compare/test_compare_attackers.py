"""Who meets a defence: nobody is attacked twice for nothing, and what fell stays fallen."""

from __future__ import annotations

import torch
from own_tasks import OFFSET, WEIGHTS, Flags
from torch import Tensor, nn

from gradwarden.attack.ledger import run_cascade
from gradwarden.compare.attackers import ADAPTIVE, FACTORS, curve, met, sizes
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))


class Steps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 15).round() / 15


def masked() -> nn.Module:
    """A plane behind rounding: the naive attackers see no gradient."""
    plane = nn.Linear(2, 2)
    plane.weight.data = torch.tensor([[0.0, 0.0], WEIGHTS])
    plane.bias.data = torch.tensor([0.0, OFFSET - 1.0])
    return nn.Sequential(Steps(), plane).eval()


def data(model: nn.Module) -> tuple[Tensor, Tensor]:
    x = torch.rand(60, 2, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return x, model(x).argmax(1)


def test_the_wall_is_opened_and_those_who_fell_have_a_point_that_shows_it() -> None:
    model = masked()
    x, y = data(model)
    found = met(model, x, y, THREAT, seed=0)
    assert found.fgsm == "1" * 60
    assert found.adaptive.count("1") < 0.8 * found.pgd.count("1")
    with torch.no_grad():
        lost = model(found.x_adv).argmax(1) != y
    assert "".join("0" if one else "1" for one in lost.tolist()) == found.adaptive
    assert bool(((found.x_adv - x).abs() <= 0.1 + 1e-6).all())


def test_those_who_fell_are_not_attacked_again_and_the_outcome_is_the_same() -> None:
    """Draws belong to a sample, whoever else is in its batch."""
    model = masked().get_submodule("1")
    x, y = data(model)
    found = met(model, x, y, THREAT, seed=0)
    strong = found.all.stages[-len(ADAPTIVE)]
    assert strong.tried == sum("1" == a == b for a, b in zip(found.fgsm, found.pgd, strict=True))
    everyone, _ = run_cascade(model, x, y, THREAT, ADAPTIVE, seed=0)
    assert found.adaptive == "".join("1" if b is None else "0" for b in everyone.broken)


def test_the_curve_agrees_with_what_was_met_at_the_radius_itself() -> None:
    model = masked()
    x, y = data(model)
    found = met(model, x, y, THREAT, seed=0)
    points = list(curve(model, x, y, THREAT, found, seed=0))
    assert len(points) == len(sizes(THREAT)) == len(FACTORS)
    assert points[FACTORS.index(1.0)][1] == found.adaptive.count("1") / len(y)
    assert [one for _, one in points] == sorted((one for _, one in points), reverse=True)
    assert all(adaptive <= naive for naive, adaptive in points)


def test_where_nobody_stands_nobody_is_attacked() -> None:
    model = masked()
    x, y = data(model)
    found = met(model, x, 1 - y, THREAT, seed=0)
    assert found.adaptive == "0" * 60
    assert len(found.all.stages) == 2
    assert torch.equal(found.x_adv, x)


def test_a_task_of_a_user_meets_them_too() -> None:
    task = Flags(threshold=0.3, radius=0.1)
    model = task.model(0).eval()
    x, y = task.held_out()
    found = met(model, x, y, task.threat_on(model), seed=0)
    above = x @ torch.tensor(WEIGHTS) + OFFSET - 0.3
    assert found.adaptive == "".join("1" if one > 0.3 else "0" for one in above.tolist())
