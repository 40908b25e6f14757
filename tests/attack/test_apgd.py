"""APGD, its starts and its targets against oracles: exact reach in linear models, planted faults."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gradwarden.attack.apgd import APGD
from gradwarden.attack.losses import loss_of
from gradwarden.attack.pgd import PGD
from gradwarden.attack.starts import STEPS, begin
from gradwarden.attack.targeting import ranked
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.bounds import nested
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import Strongest, Targeted, Untargeted
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Problem
from gradwarden.core.threat import Threat

NEVER = Strongest(Untargeted())
ROWS, COLUMNS = 4, 6
W = torch.randn(ROWS, COLUMNS, generator=torch.Generator().manual_seed(7))
UNITS = torch.rand(ROWS, COLUMNS, generator=torch.Generator().manual_seed(8)) + 0.5


def plane(x: Tensor) -> Tensor:
    """Two classes on either side of the plane W (x - 0.5) = 0."""
    z = ((x - 0.5) * W).flatten(1).sum(1)
    return torch.stack([-z, z], 1)


def best_block(gains: Tensor) -> Tensor:
    return gains.unfold(0, 2, 1).unfold(1, 3, 1).sum((-1, -2)).max()


# ball, box, what |W (x_adv - x)| is at most: twice that is what the margin gains
BALLS: list[tuple[Ball, tuple[float, float], Tensor]] = [
    (Linf(0.1), (-9.0, 9.0), 0.1 * W.abs().sum()),
    (L2(0.7), (-9.0, 9.0), 0.7 * W.norm()),
    (L1(0.4), (0.0, 1.0), 0.4 * W.abs().max()),
    (L0(3), (0.0, 1.0), 0.5 * W.abs().flatten().topk(3).values.sum()),
    (Patch(shape=(2, 3)), (0.0, 1.0), 0.5 * best_block(W.abs())),
    (Patch(shape=(2, 3), radius=0.2), (0.0, 1.0), 0.2 * best_block(W.abs())),
    (Scaled(Linf(0.1), nested(UNITS)), (-9.0, 9.0), 0.1 * (W * UNITS).abs().sum()),
    (Scaled(L1(0.3), nested(UNITS)), (-9.0, 9.0), 0.3 * (W * UNITS).abs().max()),
]
by_ball = pytest.mark.parametrize(("ball", "box", "reach"), BALLS, ids=repr)
MIDDLE = torch.full((3, ROWS, COLUMNS), 0.5)


@by_ball
@pytest.mark.parametrize(
    "attack",
    [APGD(), APGD(loss="dlr"), APGD(warm_up=True), APGD(targets=1, loss="margin", start="adi")],
    ids=repr,
)
def test_gets_as_far_as_the_ball_lets_it(
    attack: APGD, ball: Ball, box: tuple[float, float], reach: Tensor
) -> None:
    threat = Threat(ball=ball, box=box, goal=NEVER)
    found = attack.run(plane, MIDDLE, plane(MIDDLE).argmax(1), threat)
    assert threat.allows(found.x_adv, MIDDLE).all()
    torch.testing.assert_close(found.margin, 2 * reach.expand(3), rtol=2e-3, atol=0)


@by_ball
def test_succeeds_exactly_when_the_plane_is_in_reach(
    ball: Ball, box: tuple[float, float], reach: Tensor
) -> None:
    for share, falls in ((0.98, True), (1.02, False)):
        shifted = plane_at(float(reach) * share)
        y = torch.zeros(3, dtype=torch.long)
        found = APGD().run(shifted, MIDDLE, y, Threat(ball=ball, box=box))
        assert found.success.tolist() == [falls] * 3


def plane_at(distance: float) -> Callable[[Tensor], Tensor]:
    return lambda x: plane(x) + torch.tensor([distance, -distance])


def test_the_box_takes_from_the_reach_what_it_cuts_off() -> None:
    """Per-feature boxes: at most the sum of |w| times what the box leaves of the radius."""
    high = torch.full((ROWS, COLUMNS), 0.5) + torch.linspace(0.01, 0.3, 24).view(ROWS, COLUMNS)
    threat = Threat(ball=Linf(0.2), box=(nested(1 - high), nested(high)), goal=NEVER)
    found = APGD().run(plane, MIDDLE, plane(MIDDLE).argmax(1), threat)
    reach = (W.abs() * (high - 0.5).clamp(max=0.2)).sum()
    torch.testing.assert_close(found.margin, 2 * reach.expand(3), rtol=1e-4, atol=0)


def test_the_best_point_is_returned_not_the_last() -> None:
    """The loss falls again beyond a ridge that long steps jump over."""

    def ridge(x: Tensor) -> Tensor:
        z = 1 - 40 * (x - 0.53).abs().sum(1)
        return torch.stack([torch.full_like(z, 0.5), z], 1)

    x, y = torch.full((64, 1), 0.5), torch.zeros(64, dtype=torch.long)
    never = Threat(ball=Linf(0.1), goal=NEVER)
    for steps in range(1, 12):
        found = APGD(steps=steps).run(ridge, x, y, never)
        at_best = Untargeted().loss(ridge(found.x_adv), y)
        torch.testing.assert_close(at_best, found.loss)
    assert APGD(steps=40).run(ridge, x, y, Threat(ball=Linf(0.1))).success.all()
    shorter, longer = (APGD(steps=n).run(ridge, x, y, never).loss for n in (3, 40))
    assert (longer >= shorter - 1e-6).all()
    assert longer.mean() > shorter.mean()


def test_each_sample_halves_its_own_step() -> None:
    """One sample climbs all the way, which allows long steps; the other must halve to get up.

    Halving by what most of a batch needs would leave the odd one where it is.
    """

    def model(x: Tensor) -> Tensor:
        ridge = -((x[:, 1] - 0.5123).abs())
        slope = 0.01 * x[:, 1]
        z = torch.where(x[:, 0] > 0.5, ridge, slope)
        return torch.stack([torch.full_like(z, 9.0), z], 1)

    odd = torch.tensor([[1.0, 0.5]])
    even = torch.tensor([[0.0, 0.5]]).expand(9, 2)
    threat = Threat(ball=Scaled(Linf(0.1), (1e-6, 1.0)), goal=NEVER)
    for x in (odd, torch.cat([odd, even])):
        y = torch.zeros(len(x), dtype=torch.long)
        found = APGD(loss="margin").run(model, x, y, threat)
        assert float(found.loss[0]) == pytest.approx(-9.0, abs=1e-4)
        assert found.loss[1:].tolist() == pytest.approx([-9.0 + 0.006] * (len(x) - 1), abs=1e-6)


@pytest.mark.parametrize(
    "attack",
    [
        APGD(steps=7, restarts=3),
        APGD(steps=7, loss="dlr"),
        APGD(steps=10, warm_up=True),
        APGD(steps=0),
    ],
    ids=repr,
)
def test_a_run_costs_its_steps_and_no_more(attack: APGD) -> None:
    y = torch.zeros(3, dtype=torch.long)
    found = attack.run(plane_at(9.0), MIDDLE, y, Threat(ball=Linf(0.1)))
    assert found.backwards.tolist() == [attack.restarts * attack.steps] * 3
    phases = 3 if attack.warm_up else 1
    assert found.forwards.tolist() == [1 + attack.restarts * (attack.steps + phases)] * 3


def test_a_fallen_sample_costs_no_more_passes() -> None:
    x = MIDDLE[:2] + torch.tensor([0.0, 0.4])[:, None, None] * -W.sign()
    found = APGD().run(plane_at(0.01), x, torch.zeros(2, dtype=torch.long), Threat(ball=Linf(0.1)))
    assert found.success.tolist() == [True, False]
    assert found.backwards[0] < 3
    assert found.backwards[1] == 100


def test_success_is_of_the_goal_whatever_is_climbed() -> None:
    """No margin or loss stands for it: a model that predicts nothing has not been broken."""
    x, y = torch.rand(8, 6, generator=torch.Generator().manual_seed(0)), torch.zeros(8).long()

    def silent(z: Tensor) -> Tensor:
        return torch.stack([torch.full_like(z[:, 0], float("nan")), z.sum(1) * 9], 1)

    for loss in ("cross-entropy", "margin", "dlr", "log-probability", "probability-margin", "each"):
        for targets in (None, 1):
            found = APGD(steps=3, loss=loss, targets=targets).run(
                silent, x, y, Threat(ball=Linf(0.3))
            )
            assert not found.success.any()
            assert torch.equal(found.x_adv, x)


def many(classes: int = 5, size: int = 20) -> Callable[[Tensor], Tensor]:
    rng = torch.Generator().manual_seed(5)
    weight, bias = torch.randn(size, classes, generator=rng), torch.randn(classes, generator=rng)
    return lambda x: (x.flatten(1) - 0.5) @ weight + bias


def test_a_named_goal_is_its_own_only_target() -> None:
    model, x = many(), torch.rand(32, 20, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    threat = Threat(ball=Linf(0.1), goal=Targeted(2))
    one, same = (APGD(steps=20, targets=t).run(model, x, y, threat) for t in (None, 3))
    assert torch.equal(one.success, same.success)
    assert torch.equal(one.success, model(one.x_adv).argmax(1) == 2)
    assert 0.2 < one.success.float().mean() < 1.0


@pytest.mark.parametrize(
    ("ball", "dual"), [(Linf(0.1), 1.0), (L2(0.1), 2.0), (L1(0.1), math.inf)], ids=repr
)
def test_malt_ranks_by_the_distance_to_the_class_boundary(ball: Ball, dual: float) -> None:
    model, x = many(), torch.rand(64, 20, generator=torch.Generator().manual_seed(1))
    weight = model(torch.eye(20) + 0.5) - model(torch.zeros(20, 20) + 0.5)
    logits = model(x)
    y = logits.argmax(1)
    problem = Problem(model, Threat(ball=ball), loss_of(Untargeted(), "margin"), x, y, range(64))
    start = problem.start()
    after, order = ranked(start, problem, 4, "malt")
    norms = torch.stack(
        [torch.linalg.vector_norm(weight - weight[:, [c]], dual, 0) for c in range(5)]
    )
    distance = (logits.gather(1, y[:, None]) - logits) / norms[y]
    distance = distance.scatter(1, y[:, None], float("inf"))
    assert torch.equal(order, distance.argsort(1)[:, :4])
    assert not torch.equal(order, ranked(start, problem, 4, "logits")[1])
    assert (after.backwards == 4).all()


def test_an_aim_gets_past_a_class_that_the_margin_is_stuck_on() -> None:
    """Class 1 is the runner-up and out of reach for good; class 2 is one step away."""

    def model(x: Tensor) -> Tensor:
        z = x[:, 0]
        return torch.stack([z * 0, z * 0 - 0.01, 8 * (z - 0.5) - 0.39], 1)

    x, y = torch.full((4, 1), 0.5), torch.zeros(4, dtype=torch.long)
    threat = Threat(ball=Linf(0.05))
    assert not APGD(steps=20, loss="margin").run(model, x, y, threat).success.any()
    aimed = APGD(steps=20, loss="margin", targets=2).run(model, x, y, threat)
    assert aimed.success.all()
    assert (aimed.restart == 1).all()


def test_each_breaks_what_any_of_its_losses_breaks() -> None:
    """One sample is masked against the margin, by a class of its own; one against entropies."""

    def model(x: Tensor) -> Tensor:
        z = x[:, 1]
        dummy = torch.stack([z * 0, z * 0 - 0.01, 8 * (z - 0.5) - 0.39], 1)
        sure = torch.stack([z * 0, 4000 * (z - 0.5) - 199, z * 0 - 400], 1)
        return torch.where(x[:, :1] > 0.5, dummy, sure)

    x = torch.tensor([[0.0, 0.5], [1.0, 0.5]])
    y, threat = torch.zeros(2, dtype=torch.long), Threat(ball=Scaled(Linf(0.05), (1e-6, 1.0)))
    fell = {
        loss: APGD(steps=20, loss=loss).run(model, x, y, threat).success.tolist()
        for loss in ("margin", "cross-entropy", "each")
    }
    assert fell == {
        "margin": [True, False],
        "cross-entropy": [False, True],
        "each": [True, True],
    }


@pytest.mark.parametrize("loss", ["dlr", "cross-entropy"])
def test_of_several_runs_the_point_with_the_largest_margin_is_kept(loss: str) -> None:
    model, x = many(), torch.rand(32, 20, generator=torch.Generator().manual_seed(0))
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.005))
    stand = ~APGD(steps=8, targets=4).run(model, x, y, threat).success
    clean = Untargeted().margin(model(x), y)
    before = clean
    for targets in range(1, 5):  # fewer targets are a prefix of more
        found = APGD(steps=8, loss=loss, targets=targets).run(model, x, y, threat)
        assert (found.margin >= before)[stand].all()
        before = found.margin
    assert stand.sum() > 10
    assert (before > clean)[stand].all()


def test_the_losses_of_each_start_at_the_same_points_and_the_restarts_do_not() -> None:
    seen: list[Tensor] = []

    def model(x: Tensor) -> Tensor:
        seen.append(x.detach().clone())
        return plane_at(9.0)(x)

    y = torch.zeros(3, dtype=torch.long)
    APGD(steps=0, loss="each", restarts=2).run(model, MIDDLE, y, Threat(ball=Linf(0.1)))
    starts = seen[1:]
    assert len(starts) == 8
    assert all(torch.equal(s, starts[0]) for s in starts[:4])
    assert all(torch.equal(s, starts[4]) for s in starts[4:])
    assert not torch.equal(starts[0], starts[4])


@pytest.mark.parametrize("make", [APGD, PGD])
def test_an_adi_start_walks_before_the_search(make: Callable[..., Attack]) -> None:
    model, x = many(), torch.rand(16, 20, generator=torch.Generator().manual_seed(2))
    y = model(x).argmax(1)
    threat = Threat(ball=Linf(0.02), goal=NEVER)
    found = make(steps=3, start="adi").run(model, x, y, threat)
    assert (found.backwards == STEPS + 3).all()
    clean = Untargeted().loss(model(x), y)
    assert (found.loss > clean).all()
    assert found.loss.isfinite().all(), "what the walk climbs is not what the search compares"
    assert threat.allows(found.x_adv, x).all()
    wide = Threat(ball=Linf(0.5))
    some = make(steps=1, start="adi").run(model, x, y, wide)
    assert some.success.any()
    assert (some.backwards[some.success] <= STEPS).any(), "success on the way counts"


def test_an_adi_start_goes_up_for_the_class_aimed_at() -> None:
    model, x = many(), torch.rand(64, 20, generator=torch.Generator().manual_seed(2))
    y, threat = model(x).argmax(1), Threat(ball=Linf(0.05), goal=NEVER)
    for aim, towards in ((None, model(x).topk(2).indices[:, 1]), ((y + 1) % 5, (y + 1) % 5)):
        problem = Problem(model, threat, loss_of(Untargeted(), "margin"), x, y, range(64), aim)
        x_adv = begin("adi", problem.start(), problem, problem.draws(0, "a"), 0)[1]
        change = model(x_adv) - model(x)
        assert threat.allows(x_adv, x).all()
        assert change.gather(1, towards[:, None]).mean() > 0.3
        assert change.gather(1, y[:, None]).mean() < 0.0


def test_of_single_points_of_any_loss_the_largest_margin_is_kept() -> None:
    seen: list[Tensor] = []

    def model(x: Tensor) -> Tensor:
        logits = many(24, 24)(x)
        seen.append(logits)
        return logits

    x = torch.rand(16, 24, generator=torch.Generator().manual_seed(3))
    y = model(x).argmax(1)
    found = APGD(steps=0, loss="each", restarts=5).run(
        model, x, y, Threat(ball=Linf(0.2), goal=NEVER)
    )
    margins = torch.stack([Untargeted().margin(logits, y) for logits in seen])
    torch.testing.assert_close(found.margin, margins.amax(0))
    assert torch.equal(found.loss, found.margin)


def test_a_wide_warm_up_returns_nothing_from_outside_the_ball() -> None:
    """The plane is within three radii, not within one."""
    y, threat = torch.zeros(3, dtype=torch.long), Threat(ball=L1(0.4))
    model = plane_at(float(0.8 * W.abs().max()))
    found = APGD(warm_up=True).run(model, MIDDLE, y, threat)
    assert not found.success.any()
    assert threat.allows(found.x_adv, MIDDLE).all()
    assert not found.infeasible.any()
    assert found.backwards.tolist() == [100] * 3, "success out there ends no search"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"steps": -1}, "steps must be at least 0, got -1"),
        ({"rho": 1.5}, r"rho must be in \[0, 1\], got 1.5"),
        ({"restarts": 0}, "restarts must be at least 1, got 0"),
        ({"targets": 0}, "targets must be at least 1, or None, got 0"),
        ({"order": "random"}, "order must be one of logits, malt, got 'random'"),
        ({"start": "zero"}, "start must be one of random, adi.*got 'zero'"),
        ({"loss": "ce"}, "loss must be one of cross-entropy, .*each, got 'ce'"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        APGD(**options)
