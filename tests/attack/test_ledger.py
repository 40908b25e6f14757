"""The cascade believes no attack, never beats clean accuracy, and depends on no batch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.evaluate import evaluate
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.attack.referee import judge
from gradwarden.attack.table import FROM_THE_START
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Targeted
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack
from gradwarden.core.records import from_json, to_json
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))
ATTACKS: list[Attack] = [FGSM(), PGD()]


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 5)).eval()


def data(n: int = 40) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 20, generator=torch.Generator().manual_seed(1))
    y = net()(x).argmax(1)
    y[:5] = (y[:5] + 1) % 5  # wrong from the start
    return x, y


@dataclass(frozen=True, kw_only=True)
class Liar:
    """Returns what the threat forbids, or claims what is not so."""

    how: str

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        del seed, ids
        found = Noise(draws=0).run(model, x, y, threat)
        far = {
            "leaves the ball": PGD(steps=20).run(model, x, y, Threat(ball=Linf(0.5))).x_adv,
            "leaves the box": x - 5.0,
            "is not finite": x * float("nan"),
            "claims what is not so": x,
        }[self.how]
        return found._replace(x_adv=far, success=found.success | True)


@pytest.mark.parametrize(
    "how", ["leaves the ball", "leaves the box", "is not finite", "claims what is not so"]
)
def test_nothing_counts_that_the_referee_does_not_confirm(how: str) -> None:
    x, y = data()
    ledger, x_adv = run_cascade(net(), x, y, THREAT, [Liar(how=how)])
    assert ledger.accuracy == ledger.clean_accuracy
    assert torch.equal(x_adv, x)


def test_every_break_is_real_and_allowed() -> None:
    x, y = data()
    ledger, x_adv = run_cascade(net(), x, y, THREAT, ATTACKS)
    fell = torch.tensor([b is not None for b in ledger.broken])
    assert torch.equal(net()(x_adv).argmax(1) != y, fell)
    assert THREAT.allows(x_adv, x).all()
    assert 0.0 < ledger.accuracy.value < ledger.clean_accuracy.value == 35 / 40
    assert ledger.broken[:5] == (FROM_THE_START,) * 5
    assert torch.equal(x_adv[:5], x[:5])
    assert {b.attack for b in ledger.broken if b} == {"no attack", repr(FGSM()), repr(PGD())}


def test_passes_add_up() -> None:
    calls = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal calls
        calls += len(x)
        out: Tensor = model(x)
        return out

    model, (x, y) = net(), data()
    ledger = evaluate(counted, x, y, THREAT, [*ATTACKS[:1], PGD(steps=10)], batch_size=7)
    assert ledger.forwards == calls
    strong = [b for b in ledger.broken if b and "PGD" in b.attack]
    assert all(b.forwards > 3 and b.backwards >= 1 for b in strong)
    assert all(b.forwards == 3 for b in ledger.broken if b and "FGSM" in b.attack)


@pytest.mark.parametrize("goal", [None, Targeted(1)])
def test_accuracy_never_exceeds_clean_accuracy(goal: Targeted | None) -> None:
    x, y = data()
    threat = THREAT if goal is None else Threat(ball=Linf(0.1), goal=goal)
    cascades: list[list[Attack]] = [[], [Noise(draws=2)], [PGD()]]
    for attacks in cascades:
        ledger = evaluate(net(), x, y, threat, attacks)
        broken = [b is not None for b in ledger.broken]
        assert all(b or c for b, c in zip(broken, ledger.clean, strict=True))
        assert ledger.accuracy.value <= ledger.clean_accuracy.value


def test_neither_batch_size_nor_order_nor_company_matters() -> None:
    x, y = data()
    ids = list(range(1000, 1040))
    attacks: list[Attack] = [Noise(draws=3), PGD(steps=8, restarts=2)]
    whole, x_adv = run_cascade(net(), x, y, THREAT, attacks, seed=3, ids=ids)
    rows = torch.randperm(40, generator=torch.Generator().manual_seed(0))[:25]
    some, x_some = run_cascade(
        net(), x[rows], y[rows], THREAT, attacks, seed=3, ids=[ids[i] for i in rows], batch_size=6
    )
    torch.testing.assert_close(x_some, x_adv[rows], rtol=0, atol=1e-5)
    assert some.broken == tuple(whole.broken[i] for i in rows)
    other = run_cascade(net(), x, y, THREAT, attacks, seed=4, ids=ids)[1]
    assert not torch.equal(other, x_adv)


def test_a_batch_coupled_model_is_judged_one_by_one() -> None:
    """In a batch it looks broken at once; alone each sample is right."""

    class Coupled(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            wrong = torch.tensor([0.0, 1.0]).expand(len(x), 2)
            return wrong if len(x) > 1 and bool((x != x.round()).any()) else wrong.flip(1)

    x, y = torch.zeros(6, 3), torch.zeros(6, dtype=torch.long)
    found = Noise(draws=1).run(Coupled().eval(), x, y, THREAT)
    assert found.success.all()
    assert evaluate(Coupled().eval(), x, y, THREAT, [Noise(draws=1)]).accuracy.value == 1.0


def test_the_same_model_twice_gives_the_same_ledger() -> None:
    """No state outlives a model: a hostile one before changes nothing."""
    x, y = data()
    before = evaluate(net(), x, y, THREAT)

    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.randn(len(x), 5)

    evaluate(Noisy().eval(), x, y, THREAT, [PGD(steps=2)])
    after = evaluate(net(), x, y, THREAT)
    assert (before.broken, before.forwards) == (after.broken, after.forwards)


def test_progress_reaches_its_total() -> None:
    x, y = data()
    seen: list[tuple[int, int]] = []
    evaluate(
        net(),
        x,
        y,
        THREAT,
        [FGSM(), PGD()],
        batch_size=8,
        on_progress=lambda done, total: seen.append((done, total)),
    )
    assert seen[-1][0] == seen[-1][1] <= 2 * 35  # five are wrong from the start
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    totals = [total for _, total in seen]
    assert totals == sorted(totals, reverse=True)


def test_stages_add_up() -> None:
    x, y = data()
    ledger = evaluate(net(), x, y, THREAT, ATTACKS, batch_size=7)
    first, second = ledger.stages
    assert [stage.attack for stage in ledger.stages] == [repr(attack) for attack in ATTACKS]
    assert first.tried == 35
    assert second.tried == first.tried - first.broken > 0
    standing = sum(b is None for b in ledger.broken)
    assert second.tried - second.broken == standing
    assert first.forwards == 3 * 35
    assert first.backwards == 35
    assert ledger.backwards == first.backwards + second.backwards
    by = [b.attack for b in ledger.broken if b]
    assert [by.count(stage.attack) for stage in ledger.stages] == [first.broken, second.broken]
    assert 0 < first.seconds + second.seconds < ledger.seconds


@dataclass(frozen=True, kw_only=True)
class Silent:
    """Finds what it does not report."""

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        found = PGD().run(model, x, y, threat, seed=seed, ids=ids)
        return found._replace(success=found.success & False)


def test_a_success_that_no_attack_reports_is_found() -> None:
    x, y = data()
    told, silent = (evaluate(net(), x, y, THREAT, [attack]) for attack in (PGD(), Silent()))
    assert silent.accuracy == told.accuracy
    pairs = zip(told.broken, silent.broken, strict=True)
    assert all((a and a.restart) == (b and b.restart) for a, b in pairs)
    assert silent.stages[0].broken == 0  # but its points were good
    assert {b.attack for b in silent.broken if b} == {"no attack", repr(Silent())}


@dataclass(frozen=True)
class NoneAbove:
    """Feature 0 may not exceed `most`."""

    most: float

    def relax(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return x_adv

    def repair(self, x_adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
        return x_adv

    def penalty(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return (x_adv[:, 0] - self.most).relu()

    def ends(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        return low, high

    def hold(self, x_adv: Tensor, x: Tensor) -> Tensor:
        return x_adv[:, 0] <= self.most

    def check(self, x: Tensor) -> None:
        assert self.hold(x, x).all()


def test_points_that_the_constraints_forbid_never_count_and_are_told() -> None:
    def model(x: Tensor) -> Tensor:
        return torch.stack([0.55 - x[:, 0], x[:, 0] - 0.55], 1)

    x, y = torch.tensor([[0.5, 0.5], [0.4, 0.5]]), torch.zeros(2, dtype=torch.long)
    free = Threat(ball=Linf(0.1))
    assert evaluate(model, x, y, free, [Noise(draws=50)]).accuracy.value == 0.5
    bound = Threat(ball=Linf(0.1), constraints=NoneAbove(0.53))
    ledger = evaluate(model, x, y, bound, [Noise(draws=50)])
    assert ledger.accuracy.value == 1.0
    assert ledger.infeasible == (True, False)
    assert ledger.infeasible_rate.value == 0.5
    assert ledger.infeasible_rate.n == 2


def test_the_ledger_survives_json() -> None:
    x, y = data()
    ledger = evaluate(net(), x, y, THREAT, ids=list(range(7, 47)))
    assert from_json(to_json(ledger), Ledger) == ledger
    assert json.loads(to_json(ledger))["ids"][0] == 7


@pytest.mark.parametrize("ball", [Linf(0.1), L2(0.1)])
def test_the_referee_allows_rounding_and_no_more(ball: Linf | L2) -> None:
    model, (x, y) = net(), data()
    wrong = model(x).argmax(1) != y
    edge = x + ball.radius * ball.steepest(torch.ones_like(x))
    wide = Threat(ball=ball, box=(-9.0, 9.0))
    assert torch.equal(judge(model, edge, x, y, wide).confirmed, model(edge).argmax(1) != y)
    beyond = x + 1.001 * (edge - x)
    assert not judge(model, beyond, x, y, wide).confirmed.any()
    assert judge(model, x, x, y, wide).confirmed.tolist() == wrong.tolist()
    assert judge(model, x[:0], x[:0], y[:0], wide).confirmed.shape == (0,)


def _bad() -> list[tuple[dict[str, Any], str]]:
    x, y = data()
    nan = x.clone()
    nan[3, 2] = float("nan")
    return [
        ({"x": x * 255}, "outside the box"),
        ({"x": nan}, "NaN or infinite values, first in sample 3"),
        ({"x": x[:0], "y": y[:0]}, "the data are empty"),
        ({"x": x.long()}, "x must be floating point"),
        ({"y": y.float()}, "y must be .* class indices"),
        ({"y": y[:3]}, "class indices of shape"),
        ({"y": y + 5}, "labels lie in"),
        ({"y": y - 9}, "labels lie in|at least 0"),
        ({"ids": [1, 2]}, "ids must name each of the 40 samples"),
        ({"batch_size": 0}, "batch_size must be at least 1"),
        ({"model": net().train()}, "the model is in train mode"),
        ({"model": lambda x: x[:, 0]}, "one number a sample"),
        ({"model": lambda x: "cat"}, "must return a tensor of logits"),
        ({"model": lambda x: x.argmax(1)[:, None]}, "floating-point logits"),
        ({"model": lambda x: x[:1]}, "floating-point logits"),
        ({"model": lambda x: x * float("nan")}, "NaN or infinite logits for every sample"),
    ]


@pytest.mark.parametrize(("change", "says"), _bad())
def test_bad_input_is_one_sentence(change: dict[str, Any], says: str) -> None:
    x, y = data()
    given: dict[str, Any] = {"model": net(), "x": x, "y": y, "threat": THREAT} | change
    with pytest.raises(BadInput, match=says):
        evaluate(**given)
