"""The distances of a minimum-norm run: exact ones of a plane, the referee, constraints, the curve."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.carlini_wagner import CarliniWagner
from gradwarden.attack.ddn import DDN
from gradwarden.attack.distances import default_attacks, minimum_norm
from gradwarden.attack.fab import FAB
from gradwarden.attack.fmn import FMN
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.distances import Distances
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.records import from_json, to_json
from gradwarden.core.threat import Threat

W = torch.linspace(-1.0, 1.0, 8)


def plane(x: Tensor) -> Tensor:
    z = (x.flatten(1) - 0.5) @ W.to(x.dtype)
    return torch.stack([-z, z], 1)


def curved(size: int) -> nn.Module:
    torch.manual_seed(1)
    first = nn.Linear(size, 16)
    with torch.no_grad():
        first.weight.mul_(4)
    return nn.Sequential(first, nn.Tanh(), nn.Linear(16, 4)).eval()


def cube(n: int, size: int = 8) -> Tensor:
    return torch.rand(n, size, generator=torch.Generator().manual_seed(n))


def test_distances_and_accuracies_of_a_plane() -> None:
    x = cube(40) * 0.2 + 0.4
    y = plane(x).argmax(1)
    y[:4] = 1 - y[:4]
    threat = Threat(ball=Linf(0.1), box=(-9.0, 9.0))
    exact = ((x - 0.5) @ W).abs().double() / W.abs().sum()
    exact[:4] = 0.0
    found = minimum_norm(plane, x, y, threat, batch_size=16)
    distances = torch.tensor(found.distances, dtype=torch.float64)
    torch.testing.assert_close(distances, exact, rtol=0.01, atol=1e-6)
    assert found.accuracy(0.0).value == 0.9
    for radius in exact.quantile(torch.tensor([0.25, 0.5, 0.8]).double()).tolist():
        value = float((exact > radius).double().mean())
        assert found.accuracy(radius).value == pytest.approx(value, abs=0.051)
    assert found.found_by[:4] == (None,) * 4
    assert set(found.found_by[4:]) <= set(found.attacks)
    assert found.refuted == 0


def test_nothing_in_the_box_is_an_infinite_distance() -> None:
    x = cube(5)
    found = minimum_norm(
        lambda z: plane(z) + torch.tensor([99.0, 0.0]),
        x,
        torch.zeros(5).long(),
        Threat(ball=L2(0.1)),
    )
    assert found.distances == (math.inf,) * 5
    assert found.accuracy(1e9).value == 1.0
    assert found.curve().x == (0.0,)


@pytest.mark.parametrize(
    ("attack", "ball"),
    [
        (FMN(steps=30), Linf(0.1)),
        (FMN(steps=30), L0(1)),
        (FAB(steps=15, targets=3), L2(0.2)),
        (DDN(steps=30), L2(0.2)),
        (CarliniWagner(searches=4, steps=30, price=0.1), L2(0.2)),
    ],
    ids=repr,
)
def test_no_more_stand_than_when_the_attack_runs_inside_the_ball(
    attack: FMN | FAB | DDN | CarliniWagner, ball: Ball
) -> None:
    model, x = curved(8), cube(60)
    y, threat = model(x).argmax(1), Threat(ball=ball)
    inside = attack.run(model, x, y, threat)
    found = minimum_norm(model, x, y, threat, [attack])
    stands = [d > ball.radius * (1 + 1e-5) for d in found.distances]
    assert not any(s and bool(b) for s, b in zip(stands, inside.success, strict=True))
    assert 0.05 < found.accuracy(ball.radius).value < 0.95


def test_an_attack_that_looks_inside_a_ball_may_take_part() -> None:
    model, x = curved(8), cube(60)
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.15))
    inside = PGD(steps=20).run(model, x, y, threat)
    found = minimum_norm(model, x, y, threat, [PGD(steps=20)])
    finite = torch.tensor([d < math.inf for d in found.distances])
    assert torch.equal(finite, inside.success)
    assert max(d for d in found.distances if d < math.inf) <= 0.15 * (1 + 1e-5)
    median = sorted(found.distances)[10]
    assert median < 0.14  # drawn in along the line to x, which PGD's own point is not
    both = minimum_norm(model, x, y, threat, [FMN(), PGD(steps=20)])
    alone = minimum_norm(model, x, y, threat, [FMN()])
    assert all(b <= a for a, b in zip(alone.distances, both.distances, strict=True))


def test_a_weaker_attack_after_a_stronger_one_changes_nothing() -> None:
    model, x = curved(8), cube(20)
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.15))
    strong = minimum_norm(model, x, y, threat, [FMN(steps=50)])
    weak = minimum_norm(model, x, y, threat, [FMN(steps=2)])
    both = minimum_norm(model, x, y, threat, [FMN(steps=50), FMN(steps=2)])
    pairs = zip(strong.distances, weak.distances, strict=True)
    assert both.distances == tuple(min(one, two) for one, two in pairs)
    assert any(w > 1.01 * s for s, w in zip(strong.distances, weak.distances, strict=True))


def test_what_the_referee_does_not_confirm_does_not_count() -> None:
    def coupled(x: Tensor) -> Tensor:
        """Alone in its batch, a sample is never misclassified."""
        return plane(x) * (len(x) > 1) + torch.tensor([1.0, 0.0]) * (len(x) == 1)

    x = cube(12)
    y = torch.zeros(12).long()
    found = minimum_norm(coupled, x, y, Threat(ball=L2(0.3)))
    right = coupled(x).argmax(1) == 0
    assert found.refuted >= int(right.sum())
    assert all(d in (0.0, math.inf) for d in found.distances)


class Frozen:
    """The first feature may not change, and nothing brings it back."""

    def ends(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return low.expand_as(x), high.expand_as(x)

    def relax(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return x_adv

    def repair(self, x_adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
        return x_adv

    def penalty(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return (x_adv - x)[:, 0].abs()

    def hold(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return x_adv[:, 0] == x[:, 0]

    def check(self, x: Tensor) -> None:
        return None


class Mended(Frozen):
    """The same, where the box ends at it and repair brings it back."""

    def ends(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        first = (torch.arange(x.shape[1]) == 0).expand_as(x)
        return x.where(first, low), x.where(first, high)

    def repair(self, x_adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
        return torch.cat([x[:, :1], x_adv[:, 1:]], 1)


@pytest.mark.parametrize("attack", [FMN(), FAB(), DDN(), CarliniWagner(searches=6, steps=50)])
def test_a_point_that_breaks_the_constraints_never_counts(
    attack: FMN | FAB | DDN | CarliniWagner,
) -> None:
    x = cube(10) * 0.1 + 0.45
    y, free = plane(x).argmax(1), Threat(ball=L2(0.3), box=(0.0, 1.0))
    broken = minimum_norm(plane, x, y, replace(free, constraints=Frozen()), [attack])
    assert broken.distances == (math.inf,) * 10
    found = attack.nearest(plane, x, y, replace(free, constraints=Frozen()))
    assert found.infeasible.all()
    assert found.size.isinf().all()
    mended = minimum_norm(plane, x, y, replace(free, constraints=Mended()), [attack])
    exact = ((x - 0.5) @ W).abs().double() / W[1:].norm()
    assert (torch.tensor(mended.distances).double() >= exact * 0.999).all()
    assert (torch.tensor(mended.distances).double() <= exact * 1.5).float().mean() > 0.7


def test_neither_batch_size_nor_order_matters() -> None:
    model, x = curved(8).double(), cube(20).double()
    y, threat = model(x).argmax(1), Threat(ball=L2(0.3))
    whole = minimum_norm(model, x, y, threat)
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    some = minimum_norm(model, x[order], y[order], threat, batch_size=7, ids=order.tolist())
    by_id = dict(zip(some.ids, some.distances, strict=True))
    assert [by_id[i] for i in range(20)] == pytest.approx(whole.distances, rel=1e-6)
    assert (some.forwards, some.backwards) == (whole.forwards, whole.backwards)


def test_the_curve_falls_and_agrees_with_the_accuracy() -> None:
    model, x = curved(8), cube(300)
    found = minimum_norm(model, x, model(x).argmax(1), Threat(ball=Linf(0.1)), [FMN(steps=10)])
    line = found.curve("net")
    assert len(line.x) <= 200
    assert list(line.x) == sorted(line.x)
    assert list(line.y) == sorted(line.y, reverse=True)
    assert line.x[0] == 0.0
    for radius, value, low, high in list(zip(line.x, line.y, line.low, line.high, strict=True))[
        ::20
    ]:
        assert low <= value <= high
        share = sum(d > radius for d in found.distances) / 300
        assert value == pytest.approx(share)
    assert found.quantile(0.5) == sorted(found.distances)[149]
    assert found.quantile(0.0) == min(found.distances)


def test_the_record_survives_the_way_through_json() -> None:
    x = cube(6)
    found = minimum_norm(plane, x, plane(x).argmax(1), Threat(ball=L2(0.1)), [PGD(steps=1)])
    assert math.inf in found.distances
    assert from_json(to_json(found), Distances) == found


def test_progress_ends_at_its_total() -> None:
    x = cube(9)
    told: list[tuple[int, int]] = []
    minimum_norm(
        plane,
        x,
        plane(x).argmax(1),
        Threat(ball=L2(0.1)),
        batch_size=4,
        on_progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (18, 18)
    assert told == sorted(told)


def test_the_default_of_each_ball() -> None:
    assert default_attacks(L0(3)) == (FMN(),)
    assert default_attacks(L2(3)) == (FMN(), FAB(targets=3))


def test_bad_input_is_one_sentence() -> None:
    x = cube(3)
    y = plane(x).argmax(1)
    with pytest.raises(BadInput, match="batch_size must be at least 1"):
        minimum_norm(plane, x, y, Threat(ball=L2(0.1)), batch_size=0)
    found = minimum_norm(plane, x, y, Threat(ball=L2(0.1)), [FMN(steps=2)])
    with pytest.raises(BadInput, match="radius must be at least 0"):
        found.accuracy(-1.0)
    with pytest.raises(BadInput, match="share must be in"):
        found.quantile(1.5)
    with pytest.raises(BadInput, match="finite ends"):
        minimum_norm(plane, x, y, Threat(ball=L2(0.1), box=(0.0, math.inf)), [CarliniWagner()])
