"""Certificates against closed forms, exhaustive search and every layer that they know."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from scipy.optimize import linprog
from torch import Tensor, nn
from torch.nn import functional as F

from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import Targeted
from gradwarden.core.threat import Threat
from gradwarden.harden.bounds import propagate
from gradwarden.harden.bounds.activation import GELU, SIGMOID, TANH, Curve, Leaky
from gradwarden.harden.bounds.layer import Interval
from gradwarden.harden.certificate import Certificate
from gradwarden.harden.crown import CROWN
from gradwarden.harden.interval_bounds import IntervalBounds

IBP, FAST, FULL = IntervalBounds(), CROWN(intermediate="ibp"), CROWN()
METHODS: list[IntervalBounds | CROWN] = [IBP, FAST, FULL]
each_method = pytest.mark.parametrize("method", METHODS, ids=repr)


def threat(ball: Ball) -> Threat:
    return Threat(ball=ball)


def margins(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """[N] the logit of y minus the best other one."""
    with torch.no_grad():
        logits: Tensor = model(x).double()
    others = logits.scatter(1, y[:, None], -torch.inf).amax(1)
    return logits.gather(1, y[:, None])[:, 0] - others


def points(n: int, *shape: int) -> Tensor:
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(3))


# ---- closed forms ----


@each_method
def test_a_linear_net_under_linf_in_the_box(method: IntervalBounds | CROWN) -> None:
    torch.manual_seed(0)
    first, second = nn.Linear(5, 4), nn.Linear(4, 2)
    model, x = nn.Sequential(first, second).double().eval(), points(30, 5).double()
    y = torch.arange(30) % 2
    weight = second.weight @ first.weight
    row = (weight[0] - weight[1])[None] * (1 - 2 * y[:, None])
    low, high = (x - 0.3).clamp(min=0), (x + 0.3).clamp(max=1)
    least = (row * torch.where(row > 0, low, high)).sum(1)
    bias = model(torch.zeros(1, 5).double())[0]
    expected = least + (bias[0] - bias[1]) * (1 - 2 * y)
    found = method.certify(model, x, y, threat(Linf(0.3)))
    torch.testing.assert_close(found.lower, expected, rtol=1e-4, atol=1e-4)
    assert (found.lower <= expected).all()  # the referee's tolerance is allowed for
    assert torch.equal(found.certified, found.lower > 1e-5 * (1 + model(x).abs().amax(1)))


@pytest.mark.parametrize(
    ("ball", "dual"),
    [(L2(0.05), 2.0), (L1(0.05), torch.inf), (Scaled(L2(0.1), 0.5), 2.0)],
    ids=repr,
)
def test_a_linear_net_by_the_dual_norm(ball: Ball, dual: float) -> None:
    torch.manual_seed(0)
    model, x = nn.Linear(5, 3).eval(), 0.4 + 0.2 * points(30, 5)
    y = model(x).argmax(1)
    rows = model.weight[y][:, None] - model.weight
    logits = model(x)
    least = logits.gather(1, y[:, None]) - logits - 0.05 * rows.norm(p=dual, dim=2)
    expected = least.scatter(1, y[:, None], torch.inf).amin(1)
    found = CROWN().certify(model, x, y, threat(ball))
    torch.testing.assert_close(found.lower, expected.double(), rtol=1e-4, atol=1e-5)


# ---- exhaustive search ----


class Tiny(NamedTuple):
    model: nn.Sequential
    x: Tensor
    y: Tensor


def tiny(seed: int) -> Tiny:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 3), nn.ReLU(), nn.Linear(3, 2))
    model = model.double().eval()
    x = torch.rand(1, 2).double()
    return Tiny(model, x, model(x).argmax(1))


def true_minimum(net: Tiny, radius: float) -> float:
    """Of the margin, over each pattern of active units: there the net is linear."""
    w1, b1, w2, b2, w3, b3 = (p.detach() for p in net.model.parameters())
    low = (net.x[0] - radius).clamp(min=0).tolist()
    high = (net.x[0] + radius).clamp(max=1).tolist()
    best, own = float("inf"), int(net.y)
    for pattern in itertools.product((0.0, 1.0), repeat=6):
        first, second = torch.tensor(pattern).double().chunk(2)
        m1, c1 = first[:, None] * w1, first * b1
        z2, d2 = w2 @ m1, w2 @ c1 + b2
        out = (w3[own] - w3[1 - own]) * second
        cost, constant = out @ z2, out @ d2 + b3[own] - b3[1 - own]
        # Active units have inputs of at least 0, the others of at most 0.
        s1, s2 = 1 - 2 * first, 1 - 2 * second
        above = torch.cat([s1[:, None] * w1, s2[:, None] * z2])
        below = torch.cat([-s1 * b1, -s2 * d2])
        found = linprog(
            cost.numpy(), above.numpy(), below.numpy(), bounds=list(zip(low, high, strict=True))
        )
        if found.status == 0:
            best = min(best, float(found.fun + constant))
    return best


@pytest.mark.parametrize("seed", range(9))
def test_no_bound_is_above_the_true_minimum(seed: int) -> None:
    net, radius = tiny(seed), (0.05, 0.2, 0.5)[seed % 3]
    least = true_minimum(net, radius)
    grid = torch.cartesian_prod(*[torch.linspace(-radius, radius, 101).double()] * 2)
    tried = margins(net.model, (net.x + grid).clamp(0, 1), net.y.expand(len(grid)))
    assert least <= float(tried.min()) + 1e-9  # the search itself is right
    assert float(tried.min()) - least < 0.05
    bounds = [
        float(m.certify(net.model, net.x, net.y, threat(Linf(radius))).lower) for m in METHODS
    ]
    assert max(bounds) <= least + 1e-9
    assert bounds[0] <= bounds[1] + 1e-9


def test_crown_is_exact_where_no_unit_bends_and_tighter_than_intervals() -> None:
    gaps = []
    for seed in range(6):
        net = tiny(seed)
        small = threat(Linf(1e-3))
        assert float(FULL.certify(net.model, net.x, net.y, small).lower) == pytest.approx(
            true_minimum(net, 1e-3), abs=1e-6
        )
        wide = threat(Linf(0.2))
        ibp, fast, full = (float(m.certify(net.model, net.x, net.y, wide).lower) for m in METHODS)
        gaps.append((full - ibp, full - fast))
    assert all(min(gap) >= -1e-6 for gap in gaps)
    assert sum(gap[0] > 1e-3 for gap in gaps) >= 3


# ---- every layer ----


class Residual(nn.Module):
    """Branches, numbers and buffers."""

    mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(4 * 36, 3)
        self.register_buffer("mean", torch.tensor([0.3, 0.6]).view(1, 2, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = 2 * ((x - self.mean) / 0.5) + 0.1
        x = F.relu(self.first(x))
        x = 0.5 * x - torch.tanh(self.second(x)) + x
        x = 1 - (-x)
        x = F.max_pool2d(x.sigmoid(), 1)
        logits: Tensor = self.last(x.view(x.size(0), -1))
        return logits


class Below(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x - 4


def images(*layers: nn.Module) -> nn.Module:
    flat = nn.Sequential(*layers, nn.Flatten())
    width = flat(torch.zeros(2, 2, 6, 6)).shape[1]
    return nn.Sequential(flat, nn.Linear(width, 3))


def series(*layers: nn.Module) -> nn.Module:
    flat = nn.Sequential(nn.Flatten(2), *layers, nn.Flatten())
    width = flat(torch.zeros(2, 2, 6, 6)).shape[1]
    return nn.Sequential(flat, nn.Linear(width, 3))


def normed() -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(4)
    for value in (norm.weight, norm.bias, norm.running_mean):
        assert value is not None
        value.data.normal_()
    assert norm.running_var is not None
    norm.running_var.uniform_(0.5, 2)
    return norm


def conv(**options: int) -> nn.Conv2d:
    return nn.Conv2d(2, 4, 3, **options)  # type: ignore[arg-type]


MODELS: dict[str, Callable[[], nn.Module]] = {
    "conv": lambda: images(conv(stride=2, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 2), nn.ReLU()),
    "groups": lambda: images(conv(groups=2, dilation=2), nn.LeakyReLU(0.2)),
    "circular": lambda: images(nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"), nn.ReLU()),
    "same": lambda: images(nn.Conv2d(2, 4, 3, padding="same"), nn.ReLU()),
    "batch norm": lambda: images(conv(), normed(), nn.ReLU(inplace=True), nn.Dropout(0.5)),
    "avg pool": lambda: images(nn.Identity(), conv(), nn.Tanh(), nn.AvgPool2d(2)),
    "adaptive": lambda: images(conv(), nn.ReLU(), nn.AdaptiveAvgPool2d(2)),
    "max pool": lambda: images(conv(padding=1), nn.MaxPool2d(3, 2, 1), nn.ReLU()),
    "max pool below 0": lambda: images(Below(), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2, 2, 1)),
    "max pool 2": lambda: images(nn.MaxPool2d(2), conv(), nn.MaxPool2d((1, 1))),
    "gelu": lambda: images(conv(), nn.GELU(), nn.Conv2d(4, 4, 2), nn.GELU()),
    "sigmoid": lambda: images(conv(), nn.Sigmoid(), nn.Conv2d(4, 4, 2), nn.Sigmoid()),
    "1-d": lambda: series(
        nn.Conv1d(2, 4, 5, stride=2), nn.ReLU(), nn.MaxPool1d(3), nn.AvgPool1d(2)
    ),
    "residual": Residual,
}


def built(name: str, scale: float = 3.0) -> nn.Module:
    torch.manual_seed(1)
    model = MODELS[name]()
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(scale)  # so that smooth functions bend
    return model.eval()


def corners_and_draws(allowed: Threat, x: Tensor) -> list[Tensor]:
    some = [allowed.sample(x, Draws(seed, range(len(x)), "test")) for seed in range(30)]
    far = [x + 10 * (2 * (torch.rand_like(x) < 0.5) - 1) for _ in range(30)]
    return some + [allowed.project(point, x) for point in far]


@each_method
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("ball", [Linf(0.05), L2(0.3)], ids=repr)
def test_no_point_is_below_the_bound(method: IntervalBounds | CROWN, name: str, ball: Ball) -> None:
    model, x = built(name), points(5, 2, 6, 6)
    y = model(x).argmax(1)
    allowed = threat(ball)
    found = method.certify(model, x, y, allowed)
    for point in corners_and_draws(allowed, x):
        assert (margins(model, point, y) >= found.lower - 1e-5).all()
    attacked = PGD(steps=10, step_size=0.3, loss="margin").run(model, x, y, allowed)
    assert (-attacked.margin >= found.lower - 1e-5).all()
    assert not (found.certified & attacked.success).any()


@each_method
@pytest.mark.parametrize("name", MODELS)
def test_a_ball_of_next_to_nothing_leaves_the_margin(
    method: IntervalBounds | CROWN, name: str
) -> None:
    model, x = built(name).double(), points(5, 2, 6, 6).double()
    y = model(x).argmax(1)
    found = method.certify(model, x, y, threat(Linf(1e-9)))
    torch.testing.assert_close(found.lower, margins(model, x, y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_refined_bounds_are_no_looser(name: str) -> None:
    model, x = built(name, 1.5), points(5, 2, 6, 6)
    y = model(x).argmax(1)
    ibp, fast, full = (m.certify(model, x, y, threat(Linf(0.03))).lower for m in METHODS)
    assert (ibp <= fast + 1e-9).all()
    assert (fast.mean() <= full.mean() + 1e-9).all()


CURVES: dict[str, tuple[Curve, nn.Module]] = {
    "relu": (Leaky(0.0), nn.ReLU()),
    "leaky": (Leaky(0.3), nn.LeakyReLU(0.3)),
    "sigmoid": (SIGMOID, nn.Sigmoid()),
    "tanh": (TANH, nn.Tanh()),
    "gelu": (GELU(), nn.GELU()),
}


@pytest.mark.parametrize("name", CURVES)
def test_curves_lie_between_their_lines(name: str) -> None:
    curve, module = CURVES[name]
    rng = torch.Generator().manual_seed(0)
    low = 8 * torch.randn(3000, 1, generator=rng).double()
    low[:300] = 0.0
    width = 5 * torch.rand(3000, 1, generator=rng).double().square()
    at = low + width * torch.linspace(0, 1, 301).double()
    ends = Interval(low, low + width)
    value, inside, lines = module(at), curve.range(ends), curve.lines(ends)
    torch.testing.assert_close(inside.low, value.amin(1, keepdim=True), rtol=0, atol=1e-3)
    torch.testing.assert_close(inside.high, value.amax(1, keepdim=True), rtol=0, atol=1e-3)
    tiny = 1e-9
    assert (value >= inside.low - tiny).all()
    assert (value <= inside.high + tiny).all()
    assert (value >= lines.low_slope * at + lines.low_offset - tiny).all()
    assert (value <= lines.high_slope * at + lines.high_offset + tiny).all()
    apart = (lines.high_slope - lines.low_slope) * at + lines.high_offset - lines.low_offset
    assert (apart.amax(1, keepdim=True) <= 1.3 * width + tiny).all()


def test_the_lower_line_of_relu_cuts_off_the_smaller_side() -> None:
    ends = Interval(torch.tensor([-1.0, -2.0, 1.0, -2.0]), torch.tensor([2.0, 1.0, 2.0, -1.0]))
    lines = Leaky(0.0).lines(ends)
    assert lines.low_slope.tolist() == [1.0, 0.0, 1.0, 0.0]
    torch.testing.assert_close(lines.high_slope, torch.tensor([2 / 3, 1 / 3, 1.0, 0.0]))


# ---- the whole call ----


@each_method
def test_batches_and_pieces_change_nothing(
    method: IntervalBounds | CROWN, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = built("conv"), points(7, 2, 6, 6)
    y, told = model(x).argmax(1), []
    whole = method.certify(model, x, y, threat(L2(0.2)))
    monkeypatch.setattr(propagate, "ELEMENTS", 500)
    parts = method.certify(
        model, x, y, threat(L2(0.2)), batch_size=3, on_progress=lambda *at: told.append(at)
    )
    torch.testing.assert_close(whole.lower, parts.lower)
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_the_model_is_left_as_it_was() -> None:
    model, x = built("batch norm"), points(4, 2, 6, 6)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    FULL.certify(model, x, model(x).argmax(1), threat(Linf(0.05)))
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_a_wrong_sample_is_not_certified() -> None:
    model, x = built("conv"), points(6, 2, 6, 6)
    wrong = (model(x).argmax(1) + 1) % 3
    assert not FULL.certify(model, x, wrong, threat(Linf(1e-6))).certified.any()


def test_a_tie_is_not_certified() -> None:
    model, x = nn.Linear(4, 3).eval(), points(3, 4)
    nn.init.zeros_(model.weight)
    nn.init.zeros_(model.bias)
    found = FULL.certify(model, x, torch.zeros(3).long(), threat(Linf(0.1)))
    assert found.lower.tolist() == [0.0] * 3
    assert not found.certified.any()


def test_a_model_that_answers_otherwise_than_its_trace_is_refused() -> None:
    model, relu = nn.Sequential(nn.Linear(4, 3)).eval(), nn.ReLU().eval()
    x, y = points(3, 4), torch.zeros(3).long()
    model.append(relu)
    FULL.certify(model, x, y, threat(Linf(0.1)))
    relu.register_forward_hook(lambda module, args, out: out + 1)
    with pytest.raises(BadInput, match="differs from its answers, by 1"):
        FULL.certify(model, x, y, threat(Linf(0.1)))


def test_a_model_without_finite_logits_is_refused() -> None:
    model, x = nn.Linear(4, 3).eval(), points(3, 4)
    nn.init.constant_(model.bias, torch.nan)
    with pytest.raises(BadInput, match="finite logits"):
        FULL.certify(model, x, torch.zeros(3).long(), threat(Linf(0.1)))


def test_every_exported_certificate_of_this_kind_is_tested() -> None:
    from gradwarden import harden

    found = {name for name in harden.__all__ if hasattr(getattr(harden, name), "certify")}
    assert found - {"RandomisedSmoothing"} == {type(method).__name__ for method in METHODS}


def test_accuracy_is_an_estimate() -> None:
    certified = torch.tensor([True, True, False, True])
    found = Certificate(torch.zeros(4), certified).accuracy
    assert (found.value, found.n) == (0.75, 4)


class Product(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * x


class Branch(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class Alias(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        changed = F.relu(x, inplace=True)
        return changed + x


class Sliced(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x[:, :2]


class Locked(nn.Linear):
    def __init__(self) -> None:
        super().__init__(4, 2)
        self.lock = threading.Lock()


@each_method
@pytest.mark.parametrize(
    ("module", "says"),
    [
        (nn.Sequential(nn.Linear(4, 4), nn.Softmax(1)), r"Softmax\(dim=1\) at '1'"),
        (nn.Sequential(nn.LayerNorm(4)), "LayerNorm"),
        (nn.LeakyReLU(1.5), "LeakyReLU"),
        (nn.GELU(approximate="tanh"), "GELU"),
        (nn.BatchNorm1d(4, track_running_stats=False), "no running averages"),
        (nn.Flatten(0), "Flatten"),
        (nn.Sequential(nn.Unflatten(1, (2, 2)), nn.MaxPool1d(2, dilation=2)), "Unflatten"),
        (Product(), "mul of two values"),
        (Branch(), "cannot be traced"),
        (Alias(), "relu works in place"),
        (Locked(), "Locked cannot be copied: cannot pickle '_thread.lock'"),
        (Sliced(), "return logits computed from x"),
    ],
    ids=repr,
)
def test_what_is_not_known_is_named(
    method: IntervalBounds | CROWN, module: nn.Module, says: str
) -> None:
    x = points(3, 4)
    with pytest.raises(BadInput, match=says):
        method.certify(module.eval(), x, torch.zeros(3).long(), threat(Linf(0.1)))


def test_bad_input_is_one_sentence() -> None:
    model, x, y = nn.Linear(4, 3).eval(), points(3, 4), torch.zeros(3).long()
    with pytest.raises(BadInput, match=r"certificates know the balls .* got L0"):
        FULL.certify(model, x, y, threat(L0(2)))
    with pytest.raises(BadInput, match="goal Untargeted"):
        FULL.certify(model, x, y, Threat(ball=Linf(0.1), goal=Targeted(1)))
    with pytest.raises(BadInput, match="outside the box"):
        FULL.certify(model, x + 1, y, threat(Linf(0.1)))
    with pytest.raises(BadInput, match="labels go up to 3"):
        FULL.certify(model, x, y + 3, threat(Linf(0.1)))
    with pytest.raises(BadInput, match="train mode"):
        FULL.certify(nn.Sequential(model, nn.Dropout()).train(), x, y, threat(Linf(0.1)))
    with pytest.raises(BadInput, match="batch_size must be at least 1"):
        FULL.certify(model, x, y, threat(Linf(0.1)), batch_size=0)
    with pytest.raises(BadInput, match="intermediate must be"):
        CROWN(intermediate="alpha")  # type: ignore[arg-type]
