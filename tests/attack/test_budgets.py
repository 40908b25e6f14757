"""Each budget's table says what it costs, and fits the threat, the model and the page."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.budgets import BUDGETS, PROBE, WITHOUT_GRADIENT, plan, stages
from gradwarden.attack.eot import EOT
from gradwarden.attack.evaluate import evaluate
from gradwarden.attack.evolution import Evolution
from gradwarden.attack.fab import FAB
from gradwarden.attack.fmn import FMN
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.prices import price
from gradwarden.attack.square import Square
from gradwarden.cli.arguments import BudgetName
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.protocols import Attack
from gradwarden.core.tabular import Tabular
from gradwarden.core.threat import Threat

PAGE = Path(__file__).parents[2] / "docs" / "attacks.md"


class Far(nn.Module):
    """Linear; its boundary lies between the ball and the box's edge."""

    def __init__(self, classes: int = 4, size: int = 16) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(size, classes, generator=rng))
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        return (x.flatten(1) - 0.5) @ self.weight


def far(n: int = 3) -> tuple[Tensor, Tensor, float]:
    """x [N, 1, 4, 4], y and a radius inside which no sample falls."""
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    model = Far()
    best = model(x).topk(2, 1)
    x = x[(best.values[:, 0] - best.values[:, 1]).argsort(descending=True)[:n]]
    return x, model(x).argmax(1), 0.01


@pytest.mark.parametrize("classes", [2, 3, 4, 12])
@pytest.mark.parametrize(
    "attack",
    [
        APGD(steps=5),
        APGD(steps=5, restarts=2, loss="each", start="adi"),
        APGD(steps=5, targets=9, order="malt", loss="dlr"),
        APGD(steps=5, targets=2, restarts=2, warm_up=True),
        PGD(steps=5, restarts=2),
        PGD(steps=4, restarts=3, loss="each", schedule="cosine", start="adi"),
        FMN(steps=6),
        Square(queries=9, restarts=2),
        Evolution(queries=7),
        EOT(attack=APGD(steps=3), draws=4),
        *WITHOUT_GRADIENT["quick"],
    ],
    ids=repr,
)
def test_a_price_is_what_a_sample_that_never_falls_costs(attack: Attack, classes: int) -> None:
    model = Far(classes)
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    gap = model(x).topk(2, 1).values
    x = x[(gap[:, 0] - gap[:, 1]).argsort(descending=True)[:2]]
    found = attack.run(model, x, model(x).argmax(1), Threat(ball=Linf(0.01)))
    assert not found.success.any()
    expected = price(attack, classes)
    assert found.backwards.tolist() == [expected.backwards] * 2
    if isinstance(attack, FMN):  # the line to a success outside the ball is searched, if any
        assert max(found.forwards.tolist()) <= expected.forwards
    else:
        assert found.forwards.tolist() == [expected.forwards] * 2


def test_fab_costs_at_most_its_price() -> None:
    x, y, radius = far()
    found = FAB(steps=7, targets=9).run(Far(), x, y, Threat(ball=Linf(radius)))
    expected = price(FAB(steps=7, targets=9), 4)
    assert found.backwards.tolist() == [expected.backwards] * 3
    assert all(1 + 3 * 7 <= n <= expected.forwards for n in found.forwards.tolist())


@pytest.mark.parametrize(
    "budget", ["quick", "standard", pytest.param("thorough", marks=pytest.mark.slow)]
)
def test_the_table_is_what_evaluate_spends(budget: str) -> None:
    x, y, radius = far()
    threat = Threat(ball=Linf(radius))
    ledger = evaluate(Far(), x, y, threat, budget=budget)
    assert ledger.accuracy.value == 1.0
    table = stages(budget, threat, x, 4)
    assert ledger.attacks == tuple(repr(row.attack) for row in table)
    for row, stage in zip(table, ledger.stages, strict=True):
        assert (stage.tried, stage.broken) == (3, 0)
        assert stage.backwards == 3 * row.price.backwards
        spare = {FMN: 9 * 3, FAB: 9 * 9 * 3}.get(type(row.attack), 0)
        if isinstance(row.attack, Square) and row.attack.give_up:
            spare = 3 * row.attack.queries
        assert 3 * row.price.forwards - spare <= stage.forwards <= 3 * row.price.forwards


def short(attack: Any) -> str:
    """As it is written in a call, without what is as by default."""
    given = [(f.name, getattr(attack, f.name)) for f in fields(attack)]
    default = {f.name: f.default for f in fields(attack)}
    changed = [f"{name}={value!r}" for name, value in given if value != default[name]]
    return f"{type(attack).__name__}({', '.join(changed)})"


@pytest.mark.parametrize("budget", BUDGETS)
def test_the_page_shows_the_table(budget: str) -> None:
    x = torch.rand(1, 1, 28, 28)
    rows = stages(budget, Threat(ball=Linf(0.1)), x, 10)
    lines = [
        f"| {number} | `{short(row.attack)}` | {row.price.forwards:,} | {row.price.backwards:,} |"
        for number, row in enumerate(rows, 1)
    ]
    total = [sum(getattr(row.price, way) for row in rows) for way in ("forwards", "backwards")]
    lines.append(f"| | **{budget}** | **{total[0]:,}** | **{total[1]:,}** |")
    assert "\n".join(lines) in PAGE.read_text(encoding="utf-8")


def test_a_standard_budget_is_a_fifth_of_autoattack() -> None:
    """Which takes 100 + 900 + 900 backwards of a sample that never falls."""
    rows = stages("standard", Threat(ball=Linf(0.1)), torch.rand(1, 1, 28, 28), 10)
    assert sum(row.price.backwards for row in rows) <= 1900 / 5


@pytest.mark.parametrize("ball", [Linf(0.05), L2(0.1), L1(0.3), L0(1)], ids=repr)
@pytest.mark.parametrize("classes", [2, 3])
def test_every_ball_and_few_classes(ball: Any, classes: int) -> None:
    model = Far(classes, 6)
    x = torch.rand(12, 6, generator=torch.Generator().manual_seed(0))
    y = model(x).argmax(1)
    ledger = evaluate(model, x, y, Threat(ball=ball), budget="quick")
    assert ledger.accuracy.value < 1.0
    assert ledger.notes == ()


def test_balls_leave_out_what_cannot_measure_in_them() -> None:
    x = torch.rand(2, 1, 4, 4)
    balls: dict[str, Ball] = {"linf": Linf(0.1), "l0": L0(2), "patch": Patch(shape=(2, 2))}
    kinds = {
        name: {type(row.attack) for row in stages("thorough", Threat(ball=ball), x, 4)}
        for name, ball in balls.items()
    }
    assert {FMN, FAB} <= kinds["linf"]
    assert kinds["l0"] == kinds["linf"] - {FAB}
    assert kinds["patch"] == kinds["linf"] - {FAB, FMN}


class Hidden(Far):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).detach()


def test_a_model_without_a_gradient_is_attacked_by_queries_and_told() -> None:
    x, _, _ = far(8)
    y, threat = Far()(x).argmax(1), Threat(ball=Linf(0.4))
    ledger = evaluate(Hidden(), x, y, threat, budget="quick")
    assert ledger.notes == ("no sample has a usable gradient: attacked by queries alone",)
    assert ledger.attacks == tuple(map(repr, WITHOUT_GRADIENT["quick"]))
    assert ledger.backwards == 0
    assert ledger.accuracy.value < 1.0


def test_a_vanished_cross_entropy_is_still_a_gradient() -> None:
    """Logits times 1000: the margin's gradient is there."""
    x, y, _ = far(8)
    model = lambda x: 1000.0 * Far()(x)
    chosen = plan("quick", model, x, y, Threat(ball=Linf(0.1)), 4, random=False)
    assert PROBE in chosen.attacks
    assert chosen.notes == ()


def test_a_table_gets_what_repairs_its_points() -> None:
    x = torch.rand(20, 6, generator=torch.Generator().manual_seed(0))
    schema = Tabular.of(x, list("abcdef"), immutable=["a"], relations=["b + c <= 2"])
    threat = Threat(ball=Linf(0.3), constraints=schema)
    model = Far(3, 6)
    ledger = evaluate(model, x, model(x).argmax(1), threat, budget="quick")
    kinds = [attack.partition("(")[0] for attack in ledger.attacks]
    assert kinds == ["CAPGD", "Evolution"]
    assert 0.0 < ledger.accuracy.value < 1.0
    blind = stages("standard", threat, x, 3, gradient=False)
    assert [type(row.attack) for row in blind] == [Evolution]


def test_the_command_line_knows_every_budget() -> None:
    assert tuple(name.value for name in BudgetName) == BUDGETS


class Noisy(Far):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + 0.1 * torch.randn(len(x), 4, dtype=x.dtype)


def test_a_model_that_draws_is_attacked_by_its_mean_loss() -> None:
    x, y, _ = far(4)
    threat = Threat(ball=Linf(0.4))
    ledger = evaluate(Noisy(), x, y, threat, budget="quick", draws=5)
    assert all(attack.startswith("EOT(") for attack in ledger.attacks)
    assert ledger.draws == 5
    assert ledger.accuracy.value < 1.0
    plain = stages("standard", threat, x, 4, random=True)
    assert all(isinstance(row.attack, EOT) for row in plain)


def test_bad_input_is_one_sentence() -> None:
    x, y, _ = far()
    with pytest.raises(BadInput, match="budget must be one of quick, standard, thorough, got 'no'"):
        evaluate(Far(), x, y, Threat(ball=Linf(0.1)), budget="no")
    with pytest.raises(BadInput, match="there is no price of Noise"):
        price(Noise(), 3)
