"""Attacks on tables: against every allowed point there is, and on real data against trained models."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product

import pytest
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor, nn

from gradwarden.attack.capgd import CAPGD
from gradwarden.attack.evolution import Evolution
from gradwarden.attack.gradient import climb
from gradwarden.attack.losses import loss_of
from gradwarden.attack.pgd import PGD
from gradwarden.attack.referee import judge
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Evades, Untargeted
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Model, Problem
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Category, Feature, Integer
from gradwarden.core.threat import Threat
from gradwarden.tasks.phishing import phishing
from gradwarden.tasks.thyroid import thyroid

SMALL = Tabular(
    features=(
        Integer("a", 0, 3),
        Integer("b", 0, 3),
        Integer("total", 0, 6),
        Category("c", ("r", "g", "b"), width=2),
        Integer("fixed", 0, 3, change="none"),
        Integer("grows", 0, 3, change="increase"),
    ),
    relations=("total == a + b", "a * grows <= 6"),
)
THREAT = Threat(
    ball=Scaled(Linf(0.5), SMALL.widths), box=SMALL.box, goal=Untargeted(), constraints=SMALL
)


def every_point() -> Tensor:
    colors = torch.eye(3).tolist()
    numbers = product(range(4), range(4), colors, range(4), range(4))
    rows = [[a, b, a + b, *color, fixed, grows] for a, b, color, fixed, grows in numbers]
    points = torch.tensor(rows, dtype=torch.float32)
    return points[points[:, 0] * points[:, 7] <= 6]


def halving(points: Tensor, seed: int) -> nn.Module:
    """A random net that gives either class to half of the points."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        last = nn.Linear(16, 2)
        model = nn.Sequential(nn.Linear(points.shape[1], 16), nn.Tanh(), last).eval()
    with torch.no_grad():
        logits = model(points)
        last.bias[0] += (logits[:, 1] - logits[:, 0]).median()
    return model


@pytest.mark.parametrize(
    ("attack", "share"), [(CAPGD(), 0.85), (CAPGD(steps=20, restarts=4), 0.9), (Evolution(), 0.99)]
)
@pytest.mark.parametrize("seed", [0, 1])
def test_finds_what_an_exhaustive_search_finds(attack: Attack, share: float, seed: int) -> None:
    points = every_point()
    model = halving(points, seed)
    rng = torch.Generator().manual_seed(seed)
    x = points[torch.randperm(len(points), generator=rng)[:40]]
    with torch.no_grad():
        classes = model(points).argmax(1)
        y = model(x).argmax(1)
    breakable = torch.stack(
        [
            (THREAT.allows(points, row.expand_as(points)) & (classes != label)).any()
            for row, label in zip(x, y, strict=True)
        ]
    )
    assert breakable.sum() > 10
    found = attack.run(model, x, y, THREAT, seed=seed)
    assert not (found.success & ~breakable).any()
    assert (found.success & breakable).sum() >= share * breakable.sum()
    assert THREAT.allows(found.x_adv, x).all()
    assert not found.infeasible.any()
    moved = found.x_adv[found.success]
    assert (model(moved).argmax(1) != y[found.success]).all()


def test_what_an_equality_computes_passes_its_gradient_on() -> None:
    """The model sees the total alone, which the attacker changes through a and b alone."""

    def model(x: Tensor) -> Tensor:
        return torch.stack([x[:, 2], 5.5 - x[:, 2]], 1)

    table = Tabular(features=SMALL.features, relations=("total == a + b",))
    threat = replace(THREAT, constraints=table)
    x, y = torch.tensor([[1.0, 2, 3, 1, 0, 0, 0, 0]]), torch.tensor([0])
    problem = Problem(model, threat, loss_of(Untargeted(), "margin"), x, y, [0])
    _, grad = climb(problem.start(), problem, x)
    assert grad.tolist() == [[-2.0, -2.0, 0, 0, 0, 0, 0, 0]]
    found = CAPGD().run(model, x, y, threat)
    assert found.success.all()
    assert float(found.x_adv[0, 2]) == float(found.x_adv[0, :2].sum()) < 3


class Stubborn:
    """Whole numbers only, and repairs nothing: a user's own constraints."""

    def ends(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return low.expand_as(x), high.expand_as(x)

    def relax(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return x_adv

    def repair(self, x_adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
        return x_adv

    def penalty(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return x_adv.new_zeros(len(x_adv))

    def hold(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return (x_adv == x_adv.round()).all(1)

    def check(self, x: Tensor) -> None:
        return None


@pytest.mark.parametrize("attack", [CAPGD(), PGD(), Evolution(queries=50)], ids=repr)
def test_what_breaks_the_constraints_is_no_success(attack: Attack) -> None:
    """Class 1 wins above 0.2 alone, and the ball ends at 0.5."""

    def model(x: Tensor) -> Tensor:
        return torch.stack([torch.full_like(x[:, 0], 0.2), x[:, 0]], 1)

    x, y = torch.zeros(6, 1), torch.zeros(6, dtype=torch.long)
    threat = Threat(ball=Linf(0.5), box=(-1.0, 1.0), constraints=Stubborn())
    found = attack.run(model, x, y, threat)
    assert found.infeasible.all()
    assert not found.success.any()
    assert torch.equal(found.x_adv, x)
    assert attack.run(model, x, y, replace(threat, constraints=None)).success.all()


def trained(x: Tensor, y: Tensor) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        scale = nn.BatchNorm1d(x.shape[1], affine=False, momentum=None)
        model = nn.Sequential(scale, nn.Linear(x.shape[1], 24), nn.ReLU(), nn.Linear(24, 2))
        scale(x)
        scale.eval()
        optimizer = torch.optim.Adam(model.parameters(), 5e-3)
        for rows in torch.randperm(10 * len(x)).remainder(len(x)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
    return model.eval()


def boosted(x: Tensor, y: Tensor) -> Model:
    fitted = HistGradientBoostingClassifier(max_iter=20, random_state=0)
    fitted.fit(x.numpy(), y.numpy())

    def model(x: Tensor) -> Tensor:
        score = torch.from_numpy(fitted.decision_function(x.numpy())).to(x.dtype)
        return torch.stack([torch.zeros_like(score), score], 1)

    return model


@cache
def real(name: str) -> tuple[Threat, Tensor, Tensor, Tensor, Tensor]:
    """The threat, what to train on, and 60 held-out samples of class 1."""
    if name == "phishing":
        sites = phishing()
        fixed = {"age_of_domain", "is_popular"}
        features: list[Feature] = [
            replace(f, change="none") if f.name in fixed else f for f in sites.features
        ]
        table, radius = Tabular(features=tuple(features)), 0.5
        parts = sites.train.x, sites.train.y, sites.test.x, sites.test.y
    else:
        lab = thyroid()
        table, radius = Tabular(features=lab.features, relations=lab.relations), 0.1
        parts = lab.train.x, lab.train.y, lab.test.x, lab.test.y
    ball = Scaled(Linf(radius), table.widths)
    threat = Threat(ball=ball, box=table.box, goal=Evades(source=1), constraints=table)
    rows = (parts[3] == 1).nonzero()[:60, 0]
    return threat, parts[0], parts[1], parts[2][rows], parts[3][rows]


@pytest.mark.parametrize("name", ["phishing", "thyroid"])
def test_a_feasible_attack_breaks_what_a_judge_with_constraints_gives_pgd_no_credit_for(
    name: str,
) -> None:
    threat, train_x, train_y, x, y = real(name)
    model = trained(train_x, train_y)
    blind = replace(threat, constraints=None)
    pgd = PGD(steps=20).run(model, x, y, blind)
    with torch.no_grad():
        clean = threat.goal.reached(model(x), y)
    assert judge(model, pgd.x_adv, x, y, blind).confirmed.sum() >= clean.sum() + 20
    judged = judge(model, pgd.x_adv, x, y, threat).confirmed
    assert torch.equal(judged, clean)  # not one of its finds is feasible
    capgd = CAPGD().run(model, x, y, threat)
    confirmed = judge(model, capgd.x_adv, x, y, threat).confirmed
    assert torch.equal(confirmed, capgd.success)
    assert confirmed.sum() >= clean.sum() + 15
    searched = Evolution(queries=60).run(model, x, y, threat)
    assert searched.success.sum() >= clean.sum() + 15


@pytest.mark.parametrize("name", ["phishing", "thyroid"])
def test_trees_have_no_gradient_and_fall_to_the_search(name: str) -> None:
    threat, train_x, train_y, x, y = real(name)
    model = boosted(train_x, train_y)
    clean = threat.goal.reached(model(x), y)
    found = Evolution(queries=100).run(model, x, y, threat)
    assert not found.backwards.any()
    assert (found.forwards <= 101).all()
    assert found.success.sum() >= clean.sum() + 15
    assert judge(model, found.x_adv, x, y, threat).confirmed.sum() == found.success.sum()


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: Evolution(queries=-1), "queries must be at least 0, got -1"),
        (lambda: Evolution(population=1), "population must be at least 2, got 1"),
        (lambda: CAPGD(steps=-1), "steps must be at least 0, got -1"),
        (lambda: CAPGD(restarts=0), "restarts must be at least 1, got 0"),
        (lambda: CAPGD(loss="nosuch"), "loss must be one of"),
    ],
)
def test_bad_options(build: Callable[[], Attack], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        build()
