"""Known answers: what each published sign must flag, and what not. A new one joins by rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any, NamedTuple, cast

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, cross_entropy

from gradwarden.audit import indicators
from gradwarden.audit.case import Case
from gradwarden.audit.indicators.balls import grown, unbounded
from gradwarden.audit.indicators.black_box_beats_white_box import BlackBoxBeatsWhiteBox
from gradwarden.audit.indicators.few_classes import FewClasses
from gradwarden.audit.indicators.first_order_stationarity import FirstOrderStationarity
from gradwarden.audit.indicators.gradient_alignment import GradientAlignment
from gradwarden.audit.indicators.gradient_information import GradientInformation
from gradwarden.audit.indicators.gradient_norm import GradientNorm
from gradwarden.audit.indicators.incomplete_optimisation import IncompleteOptimisation
from gradwarden.audit.indicators.indicator import Sign
from gradwarden.audit.indicators.inner_optimisation import InnerOptimisation
from gradwarden.audit.indicators.linearisation_error import LinearisationError
from gradwarden.audit.indicators.noise_beats_white_box import NoiseBeatsWhiteBox
from gradwarden.audit.indicators.one_step_beats_many import OneStepBeatsMany
from gradwarden.audit.indicators.one_step_direction import OneStepDirection
from gradwarden.audit.indicators.probability_output import ProbabilityOutput
from gradwarden.audit.indicators.radius_does_not_help import RadiusDoesNotHelp
from gradwarden.audit.indicators.randomised import Randomised
from gradwarden.audit.indicators.reading import read, signs
from gradwarden.audit.indicators.silent_success import SilentSuccess
from gradwarden.audit.indicators.square_improves import SquareImproves
from gradwarden.audit.indicators.step_collinearity import StepCollinearity
from gradwarden.audit.indicators.transfer_failure import TransferFailure
from gradwarden.audit.indicators.tried import Tried, cosine
from gradwarden.audit.indicators.unavailable_gradients import UnavailableGradients
from gradwarden.audit.indicators.unbounded_fails import UnboundedFails
from gradwarden.audit.indicators.unconstrained_failure import UnconstrainedFailure
from gradwarden.audit.indicators.unstable_predictions import UnstablePredictions
from gradwarden.audit.indicators.zero_gradients import ZeroGradients
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.patch import Patch
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.examination import Indicator
from gradwarden.core.goal import Evades, Targeted
from gradwarden.core.records import from_json, to_json
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Integer, Real
from gradwarden.core.threat import Threat

Make = Callable[[], nn.Module]


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


killed: Callable[[Tensor], Tensor] = Killer.apply
raising: Callable[[Tensor], Tensor] = Raiser.apply


def no_grad(x: Tensor) -> Tensor:
    with torch.no_grad():
        return x.clone()


def through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy().copy())


def levels(x: Tensor) -> Tensor:
    return (x * 7).round() / 7


def chaos(x: Tensor) -> Tensor:
    return x + 0.02 * torch.sin(5000 * x)


def weak(x: Tensor) -> Tensor:
    """The identity, of whose gradient next to nothing passes."""
    return x.detach() + 1e-4 * (x - x.detach())


def noisy(x: Tensor) -> Tensor:
    return x + 0.5 * torch.randn(x.shape)


def by_grad(x: Tensor) -> Tensor:
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(z.square().sum(), z)
    return x + 0 * slope


def by_backward(x: Tensor) -> Tensor:
    with torch.enable_grad():
        z = x.detach().requires_grad_()
        z.sum().backward()
    return x


def by_transform(x: Tensor) -> Tensor:
    slope: Tensor = torch.func.grad(lambda z: z.square().sum())(x.detach())
    return x + 0 * slope


def linear() -> nn.Module:
    return affine(3)


def affine(classes: int) -> nn.Module:
    torch.manual_seed(0)
    return centred(nn.Sequential(nn.Flatten(), nn.Linear(12, classes)))


def front(run: Callable[[Tensor], Tensor] = lambda x: x) -> nn.Module:
    """The code as the first module of a small net."""
    torch.manual_seed(0)
    layers = (nn.Flatten(), nn.Linear(12, 9), nn.ReLU(), nn.Linear(9, 3))
    return centred(nn.Sequential(Code(run), *layers))


def end(run: Callable[[Tensor], Tensor]) -> nn.Module:
    """The code behind a small net."""
    return nn.Sequential(front(), Code(run))


def norm() -> nn.Module:
    torch.manual_seed(0)
    layers = (nn.Conv1d(3, 4, 3), nn.BatchNorm1d(4), nn.GELU(), nn.Flatten(), nn.Linear(8, 3))
    return centred(nn.Sequential(*layers))


def centred(net: nn.Sequential) -> nn.Sequential:
    """With logits of mean 0 over the data, so that each class has its share and no wide margin."""
    with torch.no_grad():
        mean = net.eval()(data()).mean(0)
        cast(nn.Linear, net[-1]).bias.sub_(mean)
    return net


def of_mean(*logits: Callable[[Tensor], Tensor]) -> nn.Module:
    """Class 0 at 0, and the others as functions of the mean's distance t [N] from 1/2."""

    def run(x: Tensor) -> Tensor:
        t = x.flatten(1).mean(1) - 0.5
        return torch.stack([0 * t, *(logit(t) for logit in logits)], 1)

    return Code(run)


def trapped() -> nn.Module:
    """One whole step crosses the pit behind a small hill, on which small steps end."""
    return of_mean(
        lambda t: torch.where(t < 0.05, 5 * t - 1, -2 - 5 * t) + (t > 0.095) * (10 + 5 * t)
    )


def passing() -> nn.Module:
    """The cross-entropy rises through adversarial points into benign ones, where two classes tie."""
    return of_mean(
        lambda t: torch.where(t < 0.04, 27.5 * t - 1, 0.1 - 3.33 * (t - 0.04)),
        lambda t: 29 * t - 3,
    )


class Row(NamedTuple):
    sign: Sign
    name: str
    make: Make
    flags: bool
    steps: int = 20
    radius: float = 0.2


HONEST: list[tuple[str, Make]] = [
    ("linear", linear),
    ("relu", front),
    ("batch norm in eval", norm),
    ("dropout in eval", lambda: nn.Sequential(front(), nn.Dropout(0.5))),
    ("draws and ignores it", lambda: front(lambda x: x + 0 * torch.randn(x.shape))),
]
ROWS = [
    Row(OneStepBeatsMany(), "a hill before a pit", trapped, True, radius=0.1),
    Row(OneStepBeatsMany(), "no gradient", lambda: front(killed), False),
    Row(BlackBoxBeatsWhiteBox(), "levels", lambda: front(levels), True),
    Row(BlackBoxBeatsWhiteBox(), "noise", lambda: front(noisy), False),
    Row(UnboundedFails(), "zero backward", lambda: front(killed), True),
    Row(UnboundedFails(), "logits x 1e5", lambda: end(lambda z: 1e5 * z), False),
    Row(NoiseBeatsWhiteBox(), "zero backward", lambda: front(killed), True),
    Row(NoiseBeatsWhiteBox(), "all fall at once", linear, False, radius=1.0),
    Row(RadiusDoesNotHelp(), "zero backward", lambda: front(killed), True),
    Row(RadiusDoesNotHelp(), "all fall at once", linear, False, radius=1.0),
    Row(UnavailableGradients(), "no_grad", lambda: front(no_grad), True),
    Row(UnavailableGradients(), "backward raises", lambda: front(raising), True),
    Row(UnavailableGradients(), "zero backward", lambda: front(killed), True),
    Row(UnavailableGradients(), "numpy", lambda: front(through_numpy), True),
    Row(UnavailableGradients(), "NaN", lambda: front(lambda x: x + (x * 0) ** 0.5), True),
    Row(UnavailableGradients(), "logits x 1e5", lambda: end(lambda z: 1e5 * z), False),
    Row(UnstablePredictions(), "noise", lambda: front(noisy), True),
    Row(
        UnstablePredictions(),
        "noise, logits / 1e3",
        lambda: nn.Sequential(front(noisy), Code(lambda z: z / 1e3)),
        True,
    ),
    Row(SilentSuccess(), "into benign points", passing, True, radius=0.1),
    Row(IncompleteOptimisation(), "3 steps", linear, True, steps=3, radius=0.01),
    Row(IncompleteOptimisation(), "20 steps", linear, False, radius=0.01),
    Row(IncompleteOptimisation(), "flat", lambda: front(killed), False),
    Row(TransferFailure(), "noise", lambda: front(lambda x: noisy(noisy(x))), True),
    Row(TransferFailure(), "batch mean", lambda: front(lambda x: x - x.mean(0)), True),
    Row(TransferFailure(), "into benign points", passing, False, radius=0.1),
    Row(UnconstrainedFailure(), "zero backward", lambda: front(killed), True),
    Row(Randomised(), "noise", lambda: front(noisy), True),
    Row(ProbabilityOutput(), "softmax", lambda: end(lambda z: z.softmax(1)), True),
    Row(ProbabilityOutput(), "log-softmax", lambda: end(lambda z: z.log_softmax(1)), True),
    Row(
        ProbabilityOutput(),
        "two columns of a sigmoid",
        lambda: end(lambda z: torch.stack([z[:, 0].sigmoid(), 1 - z[:, 0].sigmoid()], 1)),
        True,
    ),
    Row(ProbabilityOutput(), "logits in [0, 1]", lambda: end(torch.sigmoid), False),
    Row(ZeroGradients(), "levels", lambda: front(levels), True),
    Row(ZeroGradients(), "no_grad", lambda: front(no_grad), True),
    Row(ZeroGradients(), "logits x 1e5", lambda: end(lambda z: 1e5 * z), False),
    Row(SquareImproves(), "levels", lambda: front(levels), True),
    Row(SquareImproves(), "logits x 1e5", lambda: end(lambda z: 1e5 * z), False),
    Row(InnerOptimisation(), "autograd.grad", lambda: front(by_grad), True),
    Row(InnerOptimisation(), "backward", lambda: front(by_backward), True),
    Row(InnerOptimisation(), "func.grad", lambda: front(by_transform), True),
    Row(FewClasses(threshold=3), "two", lambda: affine(2), True),
    Row(GradientAlignment(), "zero backward", lambda: front(killed), True),
    Row(GradientAlignment(), "chaos", lambda: front(chaos), True),
    Row(FirstOrderStationarity(), "zero backward", lambda: front(killed), True),
    Row(FirstOrderStationarity(), "chaos", lambda: front(chaos), True),
    Row(LinearisationError(), "levels", lambda: front(levels), True),
    Row(LinearisationError(), "chaos", lambda: front(chaos), True),
    Row(GradientNorm(), "weak by-pass", lambda: front(weak), True),
    Row(GradientNorm(), "logits x 1e5", lambda: end(lambda z: 1e5 * z), False),
    Row(GradientNorm(), "logits / 1e5", lambda: end(lambda z: 1e-5 * z), False),
    Row(StepCollinearity(), "chaos", lambda: front(chaos), True),
    Row(OneStepDirection(), "chaos", lambda: front(chaos), True),
    Row(GradientInformation(), "levels", lambda: front(levels), True),
    Row(GradientInformation(), "chaos", lambda: front(chaos), True),
]
EACH: list[Sign] = list(dict.fromkeys(row.sign for row in ROWS))


def data(n: int = 24) -> Tensor:
    """[N, 3, 4], each sample with a mean of 1/2 and 0.3 away from the box."""
    x = 0.3 + 0.4 * torch.rand(n, 3, 4, generator=torch.Generator().manual_seed(0))
    return x - x.flatten(1).mean(1)[:, None, None] + 0.5


def case_of(model: nn.Module, n: int = 24, radius: float = 0.2, **options: Any) -> Case:
    x = data(n)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        y = model.eval()(x.clone()).argmax(1)
    return Case(model=model, x=x, y=y, **{"threat": Threat(ball=Linf(radius))} | options)


def tried(make: Make, radius: float = 0.2, **options: Any) -> Tried:
    return Tried(case=case_of(make(), radius=radius), **options)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.sign!r}-{row.name}")
def test_it_says_what_is_known(row: Row) -> None:
    found = row.sign.check(tried(row.make, row.radius, steps=row.steps))
    assert found.value is not None, found.says
    assert found.flags == row.flags, found.says
    assert found.says.endswith(".")
    assert "nan" not in found.says


@pytest.mark.parametrize(("name", "make"), HONEST, ids=[name for name, _ in HONEST])
def test_all_are_silent_on_honest_models(name: str, make: Make) -> None:
    looked = tried(make)
    for sign in signs():
        found = replace_threshold(sign).check(looked)
        assert found.value is not None, (name, found)
        assert not found.flags, (name, found)


def replace_threshold(sign: Sign) -> Sign:
    """These nets have three classes."""
    return FewClasses(threshold=3) if isinstance(sign, FewClasses) else sign


def test_every_indicator_has_a_row_that_flags_and_is_read_once() -> None:
    flagged = {type(row.sign).__name__ for row in ROWS if row.flags}
    assert flagged == set(indicators.__all__)
    assert sorted(type(sign).__name__ for sign in signs()) == indicators.__all__
    assert len({sign.name for sign in signs()}) == len(indicators.__all__) == 24


@pytest.mark.parametrize("sign", signs(), ids=repr)
def test_options_are_frozen_keyword_only_and_printed(sign: Any) -> None:
    assert is_dataclass(type(sign))
    assert all(field.kw_only for field in fields(sign))
    assert "threshold=" in repr(sign)
    with pytest.raises(FrozenInstanceError):
        sign.threshold = 1.0
    assert (type(sign).__doc__ or "").strip()
    assert sign.source


# Closed forms: a linear model, far from the box


def test_a_linear_model_is_linear() -> None:
    looked = tried(lambda: affine(2))
    value = {sign.name: sign.check(looked).value for sign in signs()}
    assert value["linearisation error"] == pytest.approx(0.0, abs=1e-5)
    assert value["gradient alignment"] == pytest.approx(1.0)
    assert value["first-order stationarity"] == pytest.approx(0.0, abs=1e-6)


def test_what_is_left_to_gain_of_a_linear_model() -> None:
    """After T steps of a, from d: 1 - sum_i |w_i| clip(sign(w_i) d_i + T a) / |w|_1."""
    looked = Tried(case=case_of(affine(2), radius=0.01), steps=2, step_size=0.25)
    problem, sizes = looked.problem, []
    weight = next(looked.case.model.parameters())
    first = problem.threat.sample(problem.x, looked._draws("path"))
    for start, x, label in zip(first, problem.x, problem.y, strict=True):
        w = (weight[1 - label] - weight[label]).detach()
        moved = ((start - x).flatten() * w.sign() + 0.005).clamp(-0.01, 0.01)
        sizes.append(float(1 - (w.abs() * moved).sum() / (0.01 * w.abs().sum())))
    found = FirstOrderStationarity().check(looked)
    expected = float(torch.tensor(sizes).median())
    assert 0.05 < expected < 0.95
    assert found.value == pytest.approx(expected, abs=1e-4)


def test_what_the_gradient_norm_promises_of_a_linear_model() -> None:
    """radius |w|_1 over the spread of two logits."""
    model = affine(2)
    looked = Tried(case=case_of(model, radius=0.05))
    weight = next(model.parameters()).detach()
    with torch.no_grad():
        logits = model(looked.problem.x)
    spread = (logits[:, 0] - logits[:, 1]).abs()
    promised = 0.05 * (weight[1] - weight[0]).abs().sum() / spread
    middle = float(promised.median())
    share = float((promised < middle).float().mean())
    found = GradientNorm(tolerance=middle * (1 - 1e-4)).check(looked)
    assert found.value == pytest.approx(share, abs=0.05)
    assert f"promises {middle:.2g}" in found.says


def test_a_success_rate_of_a_linear_model_is_known() -> None:
    """A sample falls where radius |w|_1 exceeds its margin; then Square cannot beat PGD."""
    model, radius = affine(2), 0.02
    looked = Tried(case=case_of(model, radius=radius))
    weight = next(model.parameters()).detach()
    with torch.no_grad():
        logits = model(looked.problem.x)
    gap = (logits[:, 0] - logits[:, 1]).abs()
    for factor, found in zip((1, 2, 4), looked.wider, strict=True):
        can = gap < factor * radius * (weight[1] - weight[0]).abs().sum()
        assert torch.equal(found, can)
    assert torch.equal(looked.fgsm.success, looked.wider[0])
    assert 0 < int(looked.wider[0].sum()) < len(gap)


# What is broken as published, on models where that shows


def test_as_published_a_hidden_gradient_is_perfectly_aligned() -> None:
    looked = tried(lambda: front(killed))
    one, two = looked.at_x["margin"].grad.flatten(1), looked.nearby.grad.flatten(1)
    published = torch.nan_to_num((one * two).sum(1) / (one.norm(dim=1) * two.norm(dim=1)), nan=1.0)
    assert float(published.mean()) == 1.0
    assert GradientAlignment().check(looked).value == 0.0


def test_as_published_a_linear_model_is_not_linear() -> None:
    """The inner product is summed over all perturbations at once."""
    looked = tried(linear)
    grad, edges = (
        looked.at_x["margin"].grad[0],
        torch.stack([looked.corner(n)[0] for n in range(16)]),
    )
    steps = edges - looked.problem.x[0]
    with torch.no_grad():
        real = looked.case.model(edges)
    y = int(looked.problem.y[0])
    other = int(real.mean(0).scatter(0, torch.tensor(y), float("-inf")).argmax())
    margin = real[:, other] - real[:, y]
    here = looked.at_x["margin"].loss[0]
    published = ((here + (steps * grad).sum() - margin) / margin).abs().mean()
    assert float(published) > 0.1
    assert LinearisationError().check(looked).value == pytest.approx(0.0, abs=1e-5)


def test_as_published_a_hidden_gradient_has_converged() -> None:
    looked = tried(lambda: front(killed))
    x, last, grad = looked.problem.x, looked.path.last, looked.path.grads[-1]
    published = 0.2 * grad.flatten(1).abs().sum(1) - ((last - x) * grad).flatten(1).sum(1)
    assert float(published.abs().max()) == 0.0
    assert FirstOrderStationarity().check(looked).value == 1.0


def test_as_published_a_sure_and_honest_net_has_no_gradient() -> None:
    looked = tried(lambda: end(lambda z: 1e5 * z))
    x = looked.problem.x.clone().requires_grad_()
    loss = cross_entropy(looked.case.model(x), looked.problem.y)
    (grad,) = torch.autograd.grad(loss, x)
    assert (~grad.flatten(1).any(1)).any()
    assert not UnavailableGradients().check(looked).flags
    assert not ZeroGradients().check(looked).flags


def test_as_published_one_loss_near_zero_makes_all_predictions_unstable() -> None:
    """|L(x) - L(x + u)| / |L(x)| of the cross-entropy, one mean over all samples."""
    looked = tried(lambda: end(lambda z: 30 * z))
    loss = nn.CrossEntropyLoss(reduction="none")
    with torch.no_grad():
        here = loss(looked.case.model(looked.problem.x), looked.problem.y)
        there = loss(looked.case.model(looked.points[0]), looked.problem.y)
    published = ((here - there).abs() / here).clamp(max=1).nan_to_num(nan=1.0).mean()
    assert float(published) > 0.1
    assert not UnstablePredictions().check(looked).flags


def test_as_published_one_dynamic_model_flags_every_later_one() -> None:
    assert InnerOptimisation().check(tried(lambda: front(by_grad))).flags
    assert InnerOptimisation().check(tried(front)).value == 0.0


def test_as_published_counts_of_right_answers_cancel_out() -> None:
    """Two samples swap their answers: as many are right as before."""
    turn = iter(range(1000))

    def run(x: Tensor) -> Tensor:
        sure = torch.where(torch.arange(len(x)) % 2 == next(turn) % 2, 1.0, 2.0)
        return torch.stack([sure, 0 * sure, 0 * sure + 0.5], 1)

    found = Randomised().check(tried(lambda: Code(run)))
    assert found.flags
    assert found.value == 1.0


def test_zero_agrees_with_nothing_and_large_numbers_do_not_overflow() -> None:
    rows = torch.tensor([[0.0, 0.0], [3e38, 0.0], [1e-44, 1e-44], [1.0, 2.0]])
    other = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 1.0], [2.0, -1.0]])
    assert torch.equal(cosine(rows, other).round(decimals=6), torch.tensor([0, 1, 1, 0.0]).double())
    one, two = torch.randn(5, 3, 4), torch.randn(5, 3, 4)
    twin = cosine_similarity(one.flatten(1).double(), two.flatten(1).double())
    assert torch.allclose(cosine(one, two), twin)


def test_a_sample_that_a_second_look_misses_is_no_success_of_an_attack() -> None:
    """The model is wrong at x whenever it is asked again; the walk counts its own points alone."""
    asked = iter(range(1000))

    def run(x: Tensor) -> Tensor:
        score = x.flatten(1).mean(1) * 0 + (1.0 if next(asked) in (0, 1) else -1.0)
        return torch.stack([score, 0 * score], 1)

    looked = tried(lambda: Code(run))
    assert len(looked.problem.y) == 24
    assert not looked.blank.success.any()


# Strange models and threats


def all_nan(x: Tensor) -> Tensor:
    return x.flatten(1)[:, :3] * float("nan")


def some_nan(x: Tensor) -> Tensor:
    out = x.flatten(1)[:, :3].clone()
    out[::3] = float("nan")
    return out


def late_raise(x: Tensor) -> Tensor:
    if (x - 0.5).abs().max() > 0.25:
        raise ValueError("out of my range")
    return x.flatten(1)[:, :3]


STRANGE: list[tuple[str, Make]] = [
    ("no_grad", lambda: front(no_grad)),
    ("numpy", lambda: front(through_numpy)),
    ("backward raises", lambda: front(raising)),
    ("NaN throughout", lambda: Code(all_nan)),
    ("NaN in some rows", lambda: Code(some_nan)),
    ("raises away from the data", lambda: Code(late_raise)),
    ("one class", lambda: affine(1)),
    ("two classes", lambda: affine(2)),
    ("constant", lambda: Code(lambda x: torch.ones(len(x), 3))),
    ("noise", lambda: front(noisy)),
    ("infinite logits", lambda: end(lambda z: z * float("inf"))),
    ("writes into its input", lambda: front(lambda x: x.mul_(1.0))),
    ("integers", lambda: end(lambda z: (9 * z).round())),
]
TABLE = Tabular(
    features=(Real("a", 0, 1), Real("b", 0, 1), Integer("n", 0, 5), Real("total", 0, 7)),
    relations=("total == a + b + n",),
)


@pytest.mark.parametrize(("name", "make"), STRANGE, ids=[name for name, _ in STRANGE])
def test_a_strange_model_is_never_an_error(name: str, make: Make) -> None:
    check_reading(case_of(make(), n=12))


@pytest.mark.parametrize(
    "threat",
    [
        Threat(ball=L2(0.5)),
        Threat(ball=L1(1.0)),
        Threat(ball=L0(2)),
        Threat(ball=Patch(shape=(2,))),
        Threat(ball=Scaled(Linf(0.2), 2.0)),
        Threat(ball=Linf(0.2), box=(float("-inf"), float("inf"))),
        Threat(ball=Linf(0.2), goal=Targeted(1)),
    ],
    ids=repr,
)
def test_a_strange_threat_is_never_an_error(threat: Threat) -> None:
    found = check_reading(case_of(front(), threat=threat))
    assert sum(one.value is None for one in found) <= 5


def test_a_table_with_relations_can_be_read() -> None:
    rng = torch.Generator().manual_seed(0)
    a, b, number = torch.rand(3, 16, generator=rng)
    number = (4 * number).round()
    x = torch.stack([a, b, number, a + b + number], 1)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    threat = Threat(
        ball=Scaled(Linf(0.3), TABLE.widths), box=TABLE.box, constraints=TABLE, goal=Evades()
    )
    with torch.no_grad():
        cast(nn.Linear, model[-1]).bias.sub_(model(x).mean(0))
        y = model(x).argmax(1)
    assert 0 < int(y.sum()) < 16
    found = check_reading(Case(model=model, x=x, y=y, threat=threat))
    assert [one.name for one in found if one.value is None] == ["gradient information"]


@pytest.mark.parametrize("n", [1, 2])
def test_few_samples_are_enough(n: int) -> None:
    check_reading(case_of(linear(), n=n))


def test_where_nothing_is_right_nothing_is_run() -> None:
    case = case_of(linear())
    wrong = replace(case, y=(case.y + 1) % 3)
    assert {one.says for one in read(wrong)} == {
        "Not run: no sample is classified right to begin with."
    }


def check_reading(case: Case) -> tuple[Indicator, ...]:
    """Records that can be kept, twice the same, with no trace on the model or the generators."""
    before, state = case.x.clone(), torch.get_rng_state()
    found, again = read(case), read(replace(case))
    assert len(found) == 24
    assert found == again
    assert torch.equal(before, case.x)
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.grad is None for parameter in case.model.parameters())
    for one in found:
        assert from_json(to_json(one), Indicator) == one
        assert one.says.endswith(".")
        assert one.says.startswith("Not run: ") == (one.value is None)
        assert not (one.flags and one.value is None)
    return found


def test_where_the_threshold_depends_on_the_model_the_record_holds_it() -> None:
    assert UnboundedFails().check(tried(linear)).threshold == pytest.approx(1 / 3)
    assert UnboundedFails(threshold=0.5).check(tried(linear)).threshold == 0.5


def test_a_larger_ball_has_its_units_and_its_end() -> None:
    x = data(2)
    assert grown(Threat(ball=L0(2)), 2.0).ball == L0(4)
    assert grown(Threat(ball=Scaled(Linf(0.1), 2.0)), 2.0).ball == Scaled(Linf(0.2), 2.0)
    whole = unbounded(Threat(ball=Linf(0.1)), x)
    assert whole is not None
    assert whole.ball == Linf(1.0)
    assert unbounded(Threat(ball=Linf(0.1), box=(0.0, float("inf"))), x) is None
    assert unbounded(Threat(ball=Patch(shape=(2,))), x) is None


def test_all_of_it_costs_about_400_forwards_a_sample() -> None:
    """On a net from which no attack takes anything, a backward counted as two."""
    passes = [0, 0]

    def run(z: Tensor) -> Tensor:
        passes[0] += len(z)
        z = torch.cat([z[:, :2], z[:, 2:] + 100], 1)
        if z.requires_grad:
            z.register_hook(lambda grad: passes.__setitem__(1, passes[1] + len(grad)))
        return z

    case = case_of(end(run))
    passes[:] = [0, 0]
    read(case)
    assert 250 < (passes[0] + 2 * passes[1]) / len(case.x) < 410
