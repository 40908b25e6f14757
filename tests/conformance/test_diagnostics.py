"""Known answers: what each diagnostic must fire on, and stay silent on. A new one joins by rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gradwarden.audit import checks
from gradwarden.audit.case import Case
from gradwarden.audit.check import Check
from gradwarden.audit.checks.batch_coupled import BatchCoupled
from gradwarden.audit.checks.exploding_gradient import ExplodingGradient
from gradwarden.audit.checks.flat_gradient import FlatGradient
from gradwarden.audit.checks.jumps import Jumps
from gradwarden.audit.checks.no_gradient import NoGradient
from gradwarden.audit.checks.saturated_loss import SaturatedLoss
from gradwarden.audit.checks.stochastic import Stochastic
from gradwarden.audit.checks.straight_through import StraightThrough
from gradwarden.audit.checks.train_mode import TrainMode
from gradwarden.audit.checks.wrong_backward import WrongBackward
from gradwarden.audit.checks.zero_gradient import ZeroGradient
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat


class Code(nn.Module):
    """A module whose forward is any function of its input."""

    def __init__(self, run: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.run = run

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


class Killer(torch.autograd.Function):
    """The identity, with zeros on the way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return torch.zeros_like(grads[0])


class Raiser(Killer):
    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        raise NotImplementedError("there is no backward")


class Reverser(Killer):
    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return -grads[0]


class StraightThroughRound(Killer):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x * 7).round() / 7

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


def applied(function: Any) -> Callable[[Tensor], Tensor]:
    def run(x: Tensor) -> Tensor:
        out: Tensor = function.apply(x)
        return out

    return run


def no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return (x * 7).round() / 7


def numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy().round(1))


def levels(x: Tensor) -> Tensor:
    return (x * 7).round() / 7


def square_wave(x: Tensor) -> Tensor:
    """The identity, with jumps larger than an attack's step: its gradient is 1 throughout."""
    return x + 0.1 * torch.sin(300 * x).sign()


def chaos(x: Tensor) -> Tensor:
    return x + 0.02 * torch.sin(5000 * x)


def bypass(x: Tensor) -> Tensor:
    return x.detach() + 0.01 * x


def front(run: Callable[[Tensor], Tensor]) -> nn.Module:
    """The code as the first module of a small net."""
    torch.manual_seed(0)
    return nn.Sequential(Code(run), nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3))


def scaled(scale: float) -> nn.Module:
    net = front(lambda x: x)
    return nn.Sequential(net, Code(lambda z: z * scale))


class Own(nn.Module):
    """The code stands in the model's own forward."""

    def __init__(self) -> None:
        super().__init__()
        self.body = front(lambda x: x)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(no_grad(x))
        return out


class Position(nn.Module):
    """Adds a learnt constant that only looks at the shape of the input."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Sequential(Code(lambda x: torch.ones(x.shape)))
        self.body = front(lambda x: x)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x + self.table(x))
        return out


def norm(affine_after: bool = False) -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.GELU(), nn.Flatten(), nn.Linear(8, 3))
    return nn.Sequential(*layers, *([nn.LayerNorm(3)] if affine_after else []))


def attention() -> nn.Module:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(12, 3))


def left_in_train(model: nn.Module, *paths: str) -> nn.Module:
    model.eval()
    for path in paths:
        model.get_submodule(path).train()
    return model


class Row(NamedTuple):
    check: Check
    name: str
    make: Callable[[], nn.Module]
    at: list[str | None]  # where it must fire; nowhere if empty


def dropout() -> nn.Module:
    return nn.Sequential(front(lambda x: x), nn.Dropout(0.5))


HONEST: list[tuple[str, Callable[[], nn.Module]]] = [
    ("relu", lambda: front(lambda x: x)),
    ("batch norm in eval", norm),
    ("layer norm", lambda: norm(affine_after=True)),
    ("attention", attention),
    ("dropout in eval", dropout),
    ("max pool", lambda: nn.Sequential(nn.MaxPool1d(2), nn.Flatten(), nn.Linear(6, 3))),
    ("in-place relu", lambda: nn.Sequential(nn.ReLU(inplace=True), front(lambda x: x))),
    ("straight-through", lambda: front(applied(StraightThroughRound))),
    ("a constant of the input's shape", Position),
    ("draws and ignores it", lambda: front(lambda x: x + 0 * torch.randn(x.shape))),
    ("logits x 1000", lambda: scaled(1e3)),
]
ROWS = [
    Row(NoGradient(), "no_grad", lambda: front(no_grad), ["0"]),
    Row(NoGradient(), "no_grad in the model's own code", Own, [""]),
    Row(NoGradient(), "detach", lambda: front(lambda x: x.detach()), ["0"]),
    Row(NoGradient(), "numpy", lambda: front(numpy), ["0"]),
    Row(NoGradient(), "raises", lambda: front(applied(Raiser)), ["0"]),
    Row(NoGradient(), "comparison", lambda: front(lambda x: (x > 0.5).float()), ["0"]),
    Row(NoGradient(), "zero", lambda: front(torch.round), []),
    Row(ZeroGradient(), "round", lambda: front(lambda x: (x * 7).round() / 7), ["0"]),
    Row(ZeroGradient(), "killer", lambda: front(applied(Killer)), ["0"]),
    Row(ZeroGradient(), "NaN", lambda: front(lambda x: x + (x * 0) ** 0.5), ["0"]),
    Row(ZeroGradient(), "no_grad", lambda: front(no_grad), []),
    Row(WrongBackward(), "reversed", lambda: front(applied(Reverser)), ["0"]),
    Row(WrongBackward(), "weak by-pass", lambda: front(bypass), ["0"]),
    Row(WrongBackward(), "killer", lambda: front(applied(Killer)), []),
    Row(WrongBackward(), "round", lambda: front(levels), []),
    Row(WrongBackward(), "chaos", lambda: front(chaos), []),
    Row(FlatGradient(), "stairs on a slope", lambda: front(lambda x: levels(x) + 0.01 * x), ["0"]),
    Row(FlatGradient(), "round", lambda: front(levels), []),
    Row(FlatGradient(), "weak by-pass", lambda: front(bypass), []),
    Row(Jumps(), "square wave", lambda: front(square_wave), ["0"]),
    Row(Jumps(), "round", lambda: front(levels), []),
    Row(ExplodingGradient(), "chaos", lambda: front(chaos), ["0"]),
    Row(ExplodingGradient(), "reversed", lambda: front(applied(Reverser)), []),
    Row(StraightThrough(), "round", lambda: front(applied(StraightThroughRound)), ["0"]),
    Row(StraightThrough(), "killer", lambda: front(applied(Killer)), []),
    Row(SaturatedLoss(), "logits x 1e5", lambda: scaled(1e5), [None]),
    Row(SaturatedLoss(), "round", lambda: front(torch.round), []),
    Row(Stochastic(), "dropout", lambda: left_in_train(dropout(), "1"), ["1"]),
    Row(Stochastic(), "noise", lambda: front(lambda x: x + 0.1 * torch.randn(x.shape)), ["0"]),
    Row(BatchCoupled(), "batch norm", lambda: left_in_train(norm(), "1"), ["1"]),
    Row(BatchCoupled(), "batch mean", lambda: front(lambda x: x - x.mean(0)), ["0"]),
    Row(BatchCoupled(), "dropout", lambda: left_in_train(dropout(), "1"), []),
    Row(TrainMode(), "dropout", lambda: left_in_train(dropout(), "1"), ["1"]),
    Row(TrainMode(), "eval", lambda: front(no_grad), []),
]
EACH: list[Check] = list(dict.fromkeys(row.check for row in ROWS))
# True of an honest model: the verdict weighs the one, and nothing is to be done about the other.
TRUE = {("SaturatedLoss", "logits x 1000"), ("StraightThrough", "straight-through")}


def case_of(model: nn.Module, n: int = 24) -> Case:
    model.training = False
    for module in model.modules():
        if not any(child.training for child in module.modules()):
            module.eval()
    x = torch.rand(n, 3, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        y = model(x.clone()).argmax(1)
    return Case(model=model, x=x, y=y, threat=Threat(ball=Linf(0.1)))


def ready(make: Callable[[], nn.Module]) -> nn.Module:
    """In eval mode, but for what the row itself left in train mode."""
    model = make()
    return model if not model.training else model.eval()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.check!r}-{row.name}")
def test_it_fires_where_the_fault_is(row: Row) -> None:
    case = case_of(ready(row.make))
    found = row.check.check(case)
    assert [finding.module for finding in found] == row.at
    for finding in found:
        assert 0.0 < finding.share <= 1.0
        assert finding.value > finding.threshold
        assert finding.why.endswith(".")
        assert finding.remedy.endswith(".")


@pytest.mark.parametrize("check", EACH, ids=repr)
@pytest.mark.parametrize(("name", "make"), HONEST)
def test_it_is_silent_on_honest_models(
    check: Check, name: str, make: Callable[[], nn.Module]
) -> None:
    if (type(check).__name__, name) not in TRUE:
        assert check.check(case_of(ready(make))) == ()


@pytest.mark.parametrize("check", EACH, ids=repr)
@pytest.mark.parametrize("make", [Own, norm, lambda: left_in_train(dropout(), "1")])
def test_it_leaves_no_trace(check: Check, make: Callable[[], nn.Module]) -> None:
    model = ready(make)
    case, other = case_of(model), case_of(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes = [module.training for module in model.modules()]
    state = torch.get_rng_state()
    first, second = check.check(case), check.check(other)
    assert first == second
    assert torch.equal(state, torch.get_rng_state())
    assert modes == [module.training for module in model.modules()]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize("check", EACH, ids=repr)
def test_options_are_frozen_keyword_only_and_printed(check: Check) -> None:
    assert is_dataclass(check)
    assert all(field.kw_only for field in fields(check))
    with pytest.raises(FrozenInstanceError):
        setattr(check, "seed", 1)  # noqa: B010
    assert check.cure in ("patch", "margin", "smooth", "nothing", "not needed")
    assert (type(check).__doc__ or "").strip()


@pytest.mark.parametrize("check", EACH, ids=repr)
def test_one_sample_is_enough_to_look_at(check: Check) -> None:
    check.check(case_of(front(no_grad).eval(), n=1))


def test_every_diagnostic_has_a_row() -> None:
    assert set(checks.__all__) == {type(check).__name__ for check in EACH}


def test_functional_code_is_blamed_on_the_module_around_it_alone() -> None:
    """Both in a row: the inner wall is named, and the outer one only once the inner is open."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wall = Code(lambda x: functional.relu(x).round())
            self.body = front(lambda x: x)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.body(self.wall(no_grad(x)))
            return out

    case = case_of(Two().eval())
    assert [f.module for f in ZeroGradient().check(case)] == ["wall"]
    assert NoGradient().check(case) == ()
