"""An audit of every kind of model, data, ball and goal, each small."""

from __future__ import annotations

import math
from functools import cache
from typing import Any

import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, one_hot

from gradwarden.attack.models import Binary, FromProbabilities, PredictProba
from gradwarden.audit.examine import examine
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.examination import Examination
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import Evades, Targeted, operating_threshold
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Category, Integer, Real
from gradwarden.core.threat import Threat

N = 10


def audit(model: nn.Module, x: Tensor, y: Tensor, threat: Threat, **options: Any) -> Examination:
    return examine(model, x[:N], y[:N], threat, budget="quick", **options)


def fitted(model: nn.Module, x: Tensor, y: Tensor, steps: int = 150) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def sums(x: Tensor) -> Tensor:
    """[N] whether the first half of a row sums to more than the second."""
    first, second = x.flatten(1).chunk(2, 1)
    return (first.sum(1) > second.sum(1)).long()


def mlp(features: int, classes: int = 2) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, 16), nn.ReLU(), nn.Linear(16, classes))


@cache
def vectors() -> tuple[nn.Module, Tensor, Tensor]:
    x = drawn(60, 6)
    return fitted(mlp(6), x, sums(x)), x, sums(x)


@cache
def images() -> tuple[nn.Module, Tensor, Tensor]:
    x = drawn(40, 3, 6, 6)
    y = x.mean((2, 3)).argmax(1)
    torch.manual_seed(0)
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3)]
    return fitted(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), *pooled), x, y, 250), x, y


def test_series_are_shown_as_lines() -> None:
    x = drawn(40, 2, 16)
    y = sums(x)
    torch.manual_seed(0)
    pooled = [nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2)]
    model = fitted(nn.Sequential(nn.Conv1d(2, 8, 3), nn.ReLU(), *pooled), x, y, 250)
    found = audit(model, x, y, Threat(ball=Linf(0.05)))
    assert found.verdict == "consistent"
    assert found.adaptive.value < found.clean.value
    assert any(figure.id.startswith("witness") for figure in found.figures)


def test_images_of_three_channels_are_shown_as_pictures() -> None:
    found = audit(*images(), Threat(ball=Linf(0.05)))
    assert found.verdict == "consistent"
    assert len(found.galleries[0].rows[0]) == 3


BALLS: dict[str, tuple[bool, Ball]] = {
    "L2": (False, L2(0.3)),
    "L1": (False, L1(0.5)),
    "L0": (False, L0(1)),
    "L2 of images": (True, L2(1.0)),
    "L0 of images": (True, L0(6)),
    "patch": (True, Patch(shape=(3, 3))),
}


@pytest.mark.parametrize("name", BALLS)
def test_other_balls(name: str) -> None:
    pictures, ball = BALLS[name]
    model, x, y = images() if pictures else vectors()
    threat = Threat(ball=ball)
    found = audit(model, x, y, threat)
    assert found.verdict == "consistent"
    assert found.findings == ()
    assert found.adaptive.value < found.clean.value
    assert all(w.size <= float(ball.radius) * 1.0001 for w in found.witnesses)
    assert not any("ball covers all" in note for note in found.notes)


def test_a_box_of_its_own_for_each_feature() -> None:
    low, high = torch.tensor([-100.0, 0.0, 5.0, -1.0]), torch.tensor([100.0, 1e4, 6.0, math.inf])
    x = low + drawn(60, 4) * torch.tensor([200.0, 1e4, 1.0, 2.0])
    y = (x[:, 0] / 100 + x[:, 1] / 1e4 > 0.5).long()

    class Standard(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / torch.tensor([100.0, 1e4, 6.0, 1.0])

    model = fitted(nn.Sequential(Standard(), *mlp(4)), x, y)
    ball = Scaled(Linf(0.2), (200.0, 1e4, 1.0, 1.0))
    box = (tuple(low.tolist()), tuple(high.tolist()))
    found = audit(model, x, y, Threat(ball=ball, box=box))
    assert found.verdict == "consistent"
    assert found.findings == ()
    assert found.witnesses


@cache
def payments() -> tuple[nn.Module, Tensor, Tensor, Tabular]:
    """Fraud is a high amount in relation to the count; totals follow from amounts."""
    n = 200
    amount, age = drawn(n, 1, seed=1) * 100, (18 + drawn(n, 1, seed=2) * 60).round()
    count, kind = (drawn(n, 1, seed=3) * 9).round(), (drawn(n, seed=4) * 3).long()
    x = torch.cat([amount, 2 * amount, count, age, one_hot(kind, 3).float()], 1)
    y = (amount[:, 0] / 100 > count[:, 0] / 10).long()
    table = Tabular(
        features=(
            Real("amount", 0, 100),
            Real("total", 0, 200),
            Integer("count", 0, 10, change="increase"),
            Integer("age", 18, 80, change="none"),
            Category("kind", ("a", "b", "c")),
        ),
        relations=("total == 2 * amount",),
    )

    class Standard(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x / torch.tensor([100.0, 200.0, 10.0, 80.0, 1.0, 1.0, 1.0])

    return fitted(nn.Sequential(Standard(), *mlp(7)), x, y, 200), x, y, table


def test_fraud_passes_as_legitimate_at_an_operating_threshold_within_the_constraints() -> None:
    model, x, y, table = payments()
    threshold = operating_threshold(model(x).detach()[y == 0], 0.05)
    goal = Evades(source=1, threshold=threshold)
    ball = Scaled(Linf(0.2), table.widths)
    threat = Threat(ball=ball, box=table.box, constraints=table, goal=goal)
    rows = torch.cat([(y == 1).nonzero()[:6, 0], (y == 0).nonzero()[:4, 0]])
    found = examine(model, x[rows], y[rows], threat, budget="quick")
    assert found.verdict == "consistent"
    assert {(w.label, w.predicted) for w in found.witnesses} == {(1, 0)}
    legitimate = found.adaptive_ledger.broken[6:]
    assert all(broken is None or not broken.forwards for broken in legitimate)
    assert "concerns 6 of 10 samples" in " ".join(found.notes)
    (gate,) = [gate for gate in found.gates if gate.name == "constraints"]
    assert gate.state == "green"
    count = len(found.witnesses)
    assert gate.says == f"{count} of {count} stored adversarial examples lie inside the threat."
    assert 0.0 <= found.adaptive_ledger.infeasible_rate.value <= 1.0
    names = {row.cells[0] for table in found.tables for row in table.rows}
    assert names
    assert names <= {"amount", "total", "count", "kind"}  # no age


def test_targets_of_the_attackers_choice() -> None:
    model, x, y = vectors()
    found = audit(model, x, y, Threat(ball=Linf(0.2), goal=Targeted(1)))
    assert {w.predicted for w in found.witnesses} == {1}
    assert {w.label for w in found.witnesses} == {0}
    concerned = int((y[:N] == 0).sum())
    assert f"concerns {concerned} of 10 samples" in " ".join(found.notes)


def test_a_single_logit_or_probability_is_like_two_logits() -> None:
    _, x, y = vectors()
    one = mlp(6, 1)
    binary = fitted(Binary(one), x, y)
    found = audit(binary, x, y, Threat(ball=Linf(0.1)))
    assert found.verdict == "consistent"
    assert found.findings == ()
    told = FromProbabilities(nn.Sequential(one, nn.Sigmoid()).eval())
    other = audit(told, x, y, Threat(ball=Linf(0.1)))
    assert other.adaptive == found.adaptive
    assert {finding.cure for finding in other.findings} <= {"not needed"}


def test_an_estimator_of_scikit_learn_is_a_black_box_and_the_record_says_so() -> None:
    _, x, y = vectors()
    model = PredictProba(LogisticRegression(C=100).fit(x.numpy(), y.numpy()))
    found = audit(model, x, y, Threat(ball=Linf(0.1)))
    assert any("The model is a black box" in note for note in found.notes)
    assert "no-gradient" in {finding.check for finding in found.findings}
    assert found.adaptive.value < found.clean.value
    assert sum(stage.backwards for stage in found.naive_ledger.stages) == 0


def test_a_model_that_draws_has_three_columns() -> None:
    class Noisy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(6)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.net(x + 0.05 * torch.randn_like(x))
            return out

    _, x, y = vectors()
    found = audit(fitted(Noisy(), x, y), x, y, Threat(ball=Linf(0.1)))
    ledger = found.adaptive_ledger
    assert ledger.draws == 21
    assert len(ledger.claimed) == len(ledger.lost) == N
    assert any(0.0 < share < 1.0 for share in ledger.lost)
    fallen = [broken is not None for broken in ledger.broken]
    assert all(share > 0.5 for share, fell in zip(ledger.lost, fallen, strict=True) if fell)
    assert all(claim for claim, fell in zip(ledger.claimed, fallen, strict=True) if fell)
    assert any("draws of the model" in patch for patch in found.patches)
