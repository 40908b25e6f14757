"""The planner opens every wall that it finds, and says so where it cannot."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.gradient import gradient_status
from gradwarden.attack.pgd import PGD
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.audit import walls
from gradwarden.audit.budgets import BUDGETS
from gradwarden.audit.case import Case
from gradwarden.audit.planner import adapt
from gradwarden.audit.proposals import learnt
from gradwarden.audit.stand_ins.near import StandIn
from gradwarden.audit.stand_ins.unsquashed import Unsquashed
from gradwarden.audit.walls import checks
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.2))


class Code(nn.Module):
    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


class Killer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x * 7).round() / 7

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.zeros_like(grads[0])


def no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return (x * 7).round() / 7


def kill(x: Tensor) -> Tensor:
    out: Tensor = Killer.apply(x)  # type: ignore[no-untyped-call]
    return out


def body() -> nn.Sequential:
    torch.manual_seed(0)
    last = nn.Linear(12, 3)
    last.bias.data = -0.5 * last.weight.data.sum(1)
    return nn.Sequential(nn.Flatten(), last)


class Own(nn.Module):
    """The wall stands in the model's own code, before or behind a child."""

    def __init__(self, run: Callable[[Tensor], Tensor], first: nn.Module | None = None) -> None:
        super().__init__()
        self.run, self.first, self.body = run, first or nn.Identity(), body()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(self.run(self.first(x)))
        return out


def data(n: int = 64) -> Tensor:
    return torch.rand(n, 3, 4, generator=torch.Generator().manual_seed(0))


def labels(model: nn.Module) -> Tensor:
    with torch.no_grad():
        out: Tensor = model(data()).argmax(1)
    return out


THERMOMETER = torch.arange(1, 8) / 8
MODELS = [
    ("nothing", body, ()),
    ("rounding", lambda: nn.Sequential(Code(torch.round), body()), ("0",)),
    ("no_grad", lambda: nn.Sequential(Code(no_grad), body()), ("0",)),
    ("a function that kills", lambda: nn.Sequential(Code(kill), body()), ("0",)),
    ("own code", lambda: Own(no_grad), ("",)),
    ("own rounding", lambda: Own(torch.round), ("",)),
    ("two in a row", lambda: nn.Sequential(Code(no_grad), Code(kill), body()), ("0", "1")),
    ("own code behind a wall", lambda: Own(no_grad, Code(kill)), ("first", "")),
    ("a wall deep inside", lambda: nn.Sequential(nn.Sequential(Code(kill)), body()), ("0.0",)),
    (
        "thermometer",
        lambda: nn.Sequential(
            Code(lambda x: (x[..., None] > THERMOMETER).to(x.dtype).mean(-1)), body()
        ),
        ("0",),
    ),
]


@pytest.mark.parametrize(("name", "make", "at"), MODELS)
def test_every_wall_is_opened(
    name: str, make: Callable[[], nn.Module], at: tuple[str, ...]
) -> None:
    del name
    model = make().eval()
    y = labels(model)
    found = adapt(model, data(), y, THREAT)
    assert sorted(patch.path for patch in found.patches) == sorted(at)  # type: ignore[attr-defined]
    assert found.open == ()
    assert bool(found.hiding) == bool(at)
    assert {f.module for f in found.hiding} == set(at)
    went = {f.module for f in found.hiding if "The attack went through" in f.remedy}
    assert went == set(at)
    with torch.no_grad():
        true = model(data())
    with found.applied(model):
        assert gradient_status(model, data(), y, THREAT).kind == "nonzero"
        assert torch.equal(model(data().requires_grad_()), true)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    attack = PGD(steps=10)
    assert found.wrap(attack) == found.route.wrap(attack)
    plain = attack.run(model, data(), y, THREAT)
    through = found.wrap(attack).run(model, data(), y, THREAT)
    assert through.success.sum() >= plain.success.sum() + (8 if at else 0)


def test_a_module_that_is_no_near_identity_is_opened_by_its_own_code() -> None:
    """Inverted colours: the identity would lead the attack the wrong way."""
    model = nn.Sequential(Code(lambda x: ((1 - x) * 7).round() / 7), body()).eval()
    found = adapt(model, data(), labels(model), THREAT)
    assert found.patches == (StraightThrough("0"),)
    assert found.open == ()


def test_where_neither_identity_nor_code_helps_a_net_is_fitted() -> None:
    """Mirrored, inverted, and through a function that autograd alone sees."""
    model = nn.Sequential(Code(lambda x: 1 - kill(x.flip(-1))), nn.Flatten(), nn.Linear(12, 3))
    y = labels(model.eval())
    found = adapt(model, data(), y, THREAT)
    assert found.open == ()
    assert len(found.patches) == 1
    attack = PGD(steps=10, loss="margin")
    fell = found.wrap(attack).run(model, data(), y, THREAT).success.sum()
    assert fell >= attack.run(model, data(), y, THREAT).success.sum() + 20


def test_what_cannot_be_opened_stays_open() -> None:
    """Steps so far apart that no point within reach shows what lies beyond them."""

    def stairs(x: Tensor) -> Tensor:
        step = (x.detach().flatten(1).sum(1) / 2).numpy().astype(int) % 3
        return torch.from_numpy(np.eye(3, dtype=np.float32)[step])

    model = Code(stairs).eval()
    found = adapt(model, data(), labels(model), Threat(ball=Linf(1e-4)))
    assert {f.check for f in found.open} >= {"no-gradient"}
    assert found.hiding == ()


def test_a_model_that_draws_is_averaged() -> None:
    model = nn.Sequential(Code(lambda x: x + 0.1 * torch.randn(x.shape)), body()).eval()
    found = adapt(model, data(), labels(model), THREAT)
    assert found.open == ()
    assert "average" in found.cures
    assert found.route.draws >= 10


def test_saturation_shows_once_the_wall_before_it_is_open() -> None:
    model = nn.Sequential(Code(no_grad), body(), Code(lambda z: z * 1e5)).eval()
    found = adapt(model, data(), labels(model), THREAT)
    assert {f.check for f in found.findings} >= {"no-gradient", "saturated-loss"}
    assert found.patches
    alone = adapt(model[1:], data(), labels(model), THREAT)
    assert "margin" in alone.cures
    assert not alone.patches


def test_a_softmax_at_the_end_is_skipped() -> None:
    model = nn.Sequential(body(), Code(lambda z: (z * 1e3).softmax(1))).eval()
    found = adapt(model, data(), labels(model), THREAT)
    assert Unsquashed("1") in found.patches
    assert "strip" in found.cures
    assert found.open == ()
    assert any("softmax" in f.remedy for f in found.findings)


def test_a_declared_stand_in_is_used_only_where_it_may_be() -> None:
    """The identity misleads, and the module's own code is out of reach: its word is the best."""

    class Mirror(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.flip(-1)

    class Turned(Code):
        def surrogate(self) -> nn.Module:
            return Mirror()

    model = nn.Sequential(Turned(lambda x: kill(x.flip(-1))), body()).eval()
    y = labels(model)
    declared = adapt(model, data(), y, THREAT, use_declared=True)
    assert any(isinstance(getattr(p, "module", None), Mirror) for p in declared.patches)
    blind = adapt(model, data(), y, THREAT)
    assert not any(isinstance(getattr(p, "module", None), Mirror) for p in blind.patches)


def test_a_lean_budget_trains_nothing_where_another_stand_in_opens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And it averages nothing; where nothing else helps, a net is fitted all the same."""
    asked: list[str] = []

    def spy(case: Case, path: str, random: bool) -> Iterator[StandIn]:
        asked.append(path)
        return learnt(case, path, random)

    monkeypatch.setattr(walls, "learnt", spy)
    lean = replace(BUDGETS["quick"], lean=True)
    model = nn.Sequential(Code(no_grad), body()).eval()
    found = adapt(model, data(), labels(model), THREAT, budget=lean)
    assert found.patches
    assert not asked
    assert not any(route.sigma for route in (found.route, *found.others))
    turned = nn.Sequential(Code(lambda x: 1 - kill(x.flip(-1))), body()).eval()
    assert len(adapt(turned, data(), labels(turned), THREAT, budget=lean).patches) == 1
    assert asked


def test_routes_are_tried_on_those_who_stand() -> None:
    model = nn.Sequential(Code(torch.round), body()).eval()
    y = labels(model)
    none = torch.zeros(len(y), dtype=torch.bool)
    found = adapt(model, data(), y, THREAT, standing=none)
    assert found.findings
    assert found.route.sigma == 0.0
    assert not found.route.double


def test_a_module_that_is_replaced_as_a_whole_covers_what_is_inside() -> None:
    class Outer(nn.Module):
        """Returns to NumPy after a child that no gradient passes either."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = Code(kill)

        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(self.inner(x).detach().numpy().copy())

    model = nn.Sequential(Outer(), body()).eval()
    found = adapt(model, data(), labels(model), THREAT)
    assert found.open == ()
    assert {getattr(patch, "path", None) for patch in found.patches} >= {"0"}


def test_the_list_of_diagnostics_is_the_exports() -> None:
    from gradwarden.audit import checks as listed

    assert [type(check).__name__ for check in checks()] == listed.__all__
