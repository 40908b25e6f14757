"""Known answers: what each diagnostic must fire on, and stay silent on. A new one joins by rows."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.utils.checkpoint import checkpoint

from gradwarden.audit import checks
from gradwarden.audit.case import Case, quiet
from gradwarden.audit.check import CURES, SEEKS, Check
from gradwarden.audit.checks.batch_coupled import BatchCoupled
from gradwarden.audit.checks.exploding_gradient import ExplodingGradient
from gradwarden.audit.checks.flat_gradient import FlatGradient
from gradwarden.audit.checks.inner_gradient import InnerGradient
from gradwarden.audit.checks.jumps import Jumps
from gradwarden.audit.checks.lost_precision import LostPrecision
from gradwarden.audit.checks.no_gradient import NoGradient
from gradwarden.audit.checks.quantiser import Quantiser
from gradwarden.audit.checks.remembers import Remembers
from gradwarden.audit.checks.rounded_logits import RoundedLogits
from gradwarden.audit.checks.saturated_loss import SaturatedLoss
from gradwarden.audit.checks.softmax_tail import SoftmaxTail
from gradwarden.audit.checks.stochastic import Stochastic
from gradwarden.audit.checks.straight_through import StraightThrough
from gradwarden.audit.checks.train_mode import TrainMode
from gradwarden.audit.checks.vanishing_gradient import VanishingGradient
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


class Lstm(nn.Module):
    """Returns a tuple, of which a part is used."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.memory = nn.LSTM(4, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.memory(x)[0][:, -1])
        return out


class Residual(nn.Module):
    """One module called twice, a sum, and memory saved by running the middle again."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.block = nn.Sequential(nn.Linear(4, 4), nn.SiLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.block(x)
        again: Tensor = checkpoint(self.block, x, use_reentrant=False)
        out: Tensor = self.head(x + again)
        return out


class Joined(nn.Module):
    """A table of embeddings next to the input, in a module of two inputs and two outputs."""

    class Both(nn.Module):
        def forward(self, x: Tensor, *, other: Tensor) -> dict[str, Tensor]:
            return {"sum": x + other, "product": x * other}

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.table, self.both = nn.Embedding(3, 4), self.Both()
        self.head = nn.Sequential(nn.Flatten(), nn.Linear(24, 3))

    def forward(self, x: Tensor) -> Tensor:
        parts = self.both(x, other=self.table(torch.arange(3)).expand_as(x))
        out: Tensor = self.head(torch.cat([parts["sum"], parts["product"]], 1))
        return out


class Uncopied(nn.Module):
    """Cannot be copied, and so not be held against float64."""

    def __init__(self) -> None:
        super().__init__()
        self.body = front(lambda x: x)

    def __deepcopy__(self, memo: object) -> nn.Module:
        raise RuntimeError("one of its kind")

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x)
        return out


class Single(Uncopied):
    """Always in float32."""

    def __deepcopy__(self, memo: object) -> nn.Module:
        return Single()

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise TypeError("float32 only")
        return super().forward(x)


class Pairs(nn.Module):
    """Refuses one sample by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.body = front(lambda x: x)

    def forward(self, x: Tensor) -> Tensor:
        if len(x) == 1:
            raise ValueError("give me two")
        out: Tensor = self.body(x)
        return out


class Mixed(nn.Module):
    """In bfloat16 inside, where no layer runs by itself on what it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.body = front(lambda x: x)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out: Tensor = self.body(x)
        return out.to(x.dtype)


def scripted(model: nn.Module) -> nn.Module:
    """As a served model comes back from its file: it takes no hooks."""
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # still in use where models are served
        torch.jit.save(torch.jit.trace(model.eval(), torch.rand(24, 3, 4)), file)
        file.seek(0)
        loaded: nn.Module = torch.jit.load(file)
    return loaded


def images(*layers: nn.Module) -> nn.Module:
    """Layers for [N, 2, 3, 2], channels last, before a small head."""
    return nn.Sequential(
        nn.Unflatten(2, (2, 2)),
        Code(lambda x: x.transpose(1, 2).contiguous(memory_format=torch.channels_last)),
        *layers,
        nn.Flatten(),
        nn.LazyLinear(3),
    )


def convolutions() -> nn.Module:
    torch.manual_seed(0)
    layers = [nn.Conv2d(2, 6, 1), nn.InstanceNorm2d(6), nn.Softplus(), nn.Conv2d(6, 4, (2, 1))]
    net = images(*layers, nn.GroupNorm(2, 4), nn.ReLU6(), nn.AvgPool2d((2, 1)))
    net(torch.rand(2, 3, 4))
    return net


def parametrised() -> nn.Module:
    torch.manual_seed(0)
    first, second = nn.Linear(12, 9), nn.Linear(9, 3)
    weight_norm(first)
    net = nn.Sequential(nn.Flatten(), first, nn.Tanh(), spectral_norm(second))
    net(torch.rand(4, 3, 4))
    return net


def trained() -> nn.Module:
    """On points that are moved against it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 3))
    x = torch.rand(60, 3, 4)
    y = x.mean((1, 2)).argsort().argsort() // 20
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    for _ in range(60):
        leaf = x.clone().requires_grad_()
        (grad,) = torch.autograd.grad(functional.cross_entropy(net(leaf), y), leaf)
        optimizer.zero_grad()
        functional.cross_entropy(net(x + 0.05 * grad.sign()), y).backward()
        optimizer.step()
    return net


class Counter(nn.Module):
    """Keeps count of its questions, and answers by the count where `used`."""

    def __init__(self, used: bool) -> None:
        super().__init__()
        self.used, self.body = used, front(lambda x: x)
        self.count: Tensor
        self.register_buffer("count", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        out: Tensor = self.body(x)
        return out + self.count * torch.tensor([1.0, 0.0, 0.0]) if self.used else out


def purified(x: Tensor) -> Tensor:
    """A step of an inner search for a smoother input."""
    with torch.enable_grad():
        moved = x.detach().requires_grad_()
        moved.diff(dim=-1).square().sum().backward()
    assert moved.grad is not None
    return x - 0.1 * moved.grad


def descended(x: Tensor) -> Tensor:
    with torch.enable_grad():
        moved = x.detach().requires_grad_()
        (grad,) = torch.autograd.grad(moved.diff(dim=-1).square().sum(), moved)
    return x - 0.1 * grad


def straight_through(x: Tensor) -> Tensor:
    return x + (levels(x) - x).detach()


def tail(run: Callable[[Tensor], Tensor], classes: int = 3) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, classes), Code(run))


def winners(x: Tensor) -> Tensor:
    """Each feature keeps the upper half of its batch."""
    return x * (x >= x.median(0).values)


def numpy_noise(x: Tensor) -> Tensor:
    return x + 0.1 * torch.from_numpy(np.random.standard_normal(tuple(x.shape))).to(x.dtype)


def plain_noise(x: Tensor) -> Tensor:
    return x * random.uniform(0.5, 1.5)


def saturating(x: Tensor) -> Tensor:
    for _ in range(40):
        x = torch.sigmoid(3 * (x - 0.5))
    return x - 0.5


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
    ("lstm", Lstm),
    ("autocast", Mixed),
    ("compiled", lambda: scripted(front(lambda x: x))),
    ("compiled inside", lambda: nn.Sequential(scripted(front(lambda x: x)))),
    ("residual, checkpointed, called twice", Residual),
    ("embedding, two inputs and outputs", Joined),
    ("1x1 convolutions, instance norm, channels last", convolutions),
    ("weight norm, spectral norm", parametrised),
    ("adversarially trained", trained),
    ("cannot be copied", Uncopied),
    ("float32 only", Single),
    ("not one by one", Pairs),
    ("counts its questions", lambda: Counter(used=False)),
    ("steep sigmoid", lambda: front(lambda x: torch.sigmoid(8 * (x - 0.5)))),
    ("logits in [0, 1]", lambda: tail(torch.sigmoid)),
    ("logits x 1e-6", lambda: scaled(1e-6)),
    ("one logit is constant", lambda: tail(lambda z: z * torch.tensor([0.0, 1.0, 1.0]))),
    ("clipped logits", lambda: tail(functional.relu)),
    ("straight-through by detach", lambda: front(straight_through)),
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
    Row(ZeroGradient(), "compiled", lambda: scripted(front(levels)), [""]),
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
    Row(SaturatedLoss(), "logits x 1e5", lambda: scaled(1e5), ["1"]),
    Row(SaturatedLoss(), "round", lambda: front(torch.round), []),
    Row(Stochastic(), "dropout", lambda: left_in_train(dropout(), "1"), ["1"]),
    Row(Stochastic(), "noise", lambda: front(lambda x: x + 0.1 * torch.randn(x.shape)), ["0"]),
    Row(BatchCoupled(), "batch norm", lambda: left_in_train(norm(), "1"), ["1"]),
    Row(BatchCoupled(), "batch mean", lambda: front(lambda x: x - x.mean(0)), ["0"]),
    Row(BatchCoupled(), "dropout", lambda: left_in_train(dropout(), "1"), []),
    Row(Stochastic(), "numpy's noise", lambda: front(numpy_noise), ["0"]),
    Row(Stochastic(), "the standard library's", lambda: front(plain_noise), ["0"]),
    Row(BatchCoupled(), "k winners of the batch", lambda: front(winners), ["0"]),
    Row(SoftmaxTail(), "softmax", lambda: tail(lambda z: z.softmax(1)), ["2"]),
    Row(SoftmaxTail(), "cold softmax", lambda: tail(lambda z: (z / 0.01).softmax(1)), ["2"]),
    Row(SoftmaxTail(), "log-softmax", lambda: tail(lambda z: z.log_softmax(1)), ["2"]),
    Row(
        SoftmaxTail(),
        "two columns of a sigmoid",
        lambda: tail(lambda z: torch.cat([1 - z.sigmoid(), z.sigmoid()], 1), 1),
        ["2"],
    ),
    Row(SoftmaxTail(), "layers behind it", lambda: tail(lambda z: 5 * z.softmax(1)), []),
    Row(LostPrecision(), "logits x 60", lambda: tail(lambda z: 60 * z), [None]),
    Row(
        LostPrecision(),
        "class decided by rounding",
        lambda: tail(lambda z: (z + 1e9) - 1e9 - 1e-3 * z),
        [None],
    ),
    Row(
        VanishingGradient(),
        "chain of sigmoids",
        lambda: front(lambda x: torch.sigmoid(200 * x + 20)),
        ["0"],
    ),
    Row(VanishingGradient(), "killer", lambda: front(applied(Killer)), []),
    Row(
        VanishingGradient(),
        "most coordinates",
        lambda: front(lambda x: torch.tanh(50 * (x - 0.5))),
        ["0"],
    ),
    Row(
        VanishingGradient(),
        "steep, and in reach",
        lambda: front(lambda x: torch.tanh(8 * (x - 0.5))),
        [],
    ),
    Row(Quantiser(), "round", lambda: front(levels), ["0"]),
    Row(Quantiser(), "straight-through", lambda: front(applied(StraightThroughRound)), ["0"]),
    Row(Quantiser(), "square wave", lambda: front(square_wave), []),
    Row(
        RoundedLogits(),
        "votes",
        lambda: tail(lambda z: functional.one_hot(z.argmax(1), 3).float()),
        [None],
    ),
    Row(RoundedLogits(), "one decimal", lambda: tail(lambda z: z.round(decimals=1)), [None]),
    Row(InnerGradient(), "backward", lambda: front(purified), ["0"]),
    Row(InnerGradient(), "grad", lambda: front(descended), ["0"]),
    Row(Remembers(), "answers by its count", lambda: Counter(used=True), [""]),
    Row(Remembers(), "batch norm in train mode", lambda: left_in_train(norm(), "1"), []),
    Row(TrainMode(), "dropout", lambda: left_in_train(dropout(), "1"), ["1"]),
    Row(TrainMode(), "eval", lambda: front(no_grad), []),
]
EACH: list[Check] = list(dict.fromkeys(row.check for row in ROWS))
# Said of an honest model, and right.
TRUE = {("SaturatedLoss", "logits x 1000"), ("LostPrecision", "logits x 1000")}


def case_of(model: nn.Module, n: int = 24) -> Case:
    model.training = False
    for module in model.modules():
        if not any(child.training for child in module.modules()):
            module.eval()
    x = torch.rand(n, 3, 4, generator=torch.Generator().manual_seed(0))
    with quiet(x, 0), torch.no_grad():  # the same labels each time, of a model that draws too
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


@pytest.mark.parametrize(("name", "make"), HONEST)
def test_there_is_nothing_to_cure_in_honest_models(
    name: str, make: Callable[[], nn.Module]
) -> None:
    case = case_of(ready(make))
    found = {check: check.check(case) for check in EACH if check.cure != "not needed"}
    kinds = {type(check).__name__ for check, findings in found.items() if findings}
    assert kinds - {kind for kind, honest in TRUE if honest == name} == set()


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
    assert check.cure in CURES
    assert check.seeks in SEEKS
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


def test_what_a_model_remembers_is_put_back() -> None:
    case = case_of(Counter(used=True).eval())
    before = {name: value.clone() for name, value in case.model.state_dict().items()}
    assert Remembers().check(case) != ()
    assert all(torch.equal(v, before[name]) for name, v in case.model.state_dict().items())
