"""One list of rules; every rule gets every check, on the CPU path and the accelerator's arithmetic.

A new rule joins by one row in RULES; bad options of its own join by rows in BAD.
"""

import ast
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from gradwarden.clip.clipped import Clipped
from gradwarden.clip.clipper import Clipper
from gradwarden.clip.part import Home
from gradwarden.clip.rule import Rule
from gradwarden.clip.rules.adagc import AdaGC
from gradwarden.clip.rules.adaptive import Adaptive
from gradwarden.clip.rules.agc import AGC
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.rules.median_multiple import MedianMultiple
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.clip.rules.skip_spikes import SkipSpikes
from gradwarden.clip.rules.zscore import ZScore
from gradwarden.clip.transform import Transform
from gradwarden.clip.transforms.stable_spam import StableSPAM
from gradwarden.clip.transforms.u_clip import UClip
from gradwarden.core.errors import BadInput

RULES: list[Rule[Any]] = [
    MaxNorm(1.0),
    MaxNorm(1.0, p=1.0, scope="tensor"),
    MaxValue(0.5),
    Quantile(),
    Quantile(q=0.5, window=7, scope="tensor"),
    Quantile(q=0.5, window=7, scope="element"),
    ZScore(),
    ZScore(reference=True, mode="mean", max_norm=1.0),
    ZScore(mode="percentile", warmup=5, scope="tensor"),
    Adaptive(),
    Adaptive(window=16, scope="tensor"),
    MedianMultiple(),
    MedianMultiple(window=12, reference=True, scope="tensor"),
    SkipSpikes(),
    SkipSpikes(sigmas=1.0, window=8),
    SkipSpikes(sigmas=1.0, window=8, reference=True),
    AGC(),
    AGC(axis=1, scope="tensor"),
    AdaGC(),
    AdaGC(warmup=5, reference=True),
]
TRANSFORMS: list[Transform[Any]] = [
    StableSPAM(),
    UClip(MaxNorm(1.0)),
    UClip(MaxNorm(1.0, scope="tensor")),
    UClip(MaxValue(0.5)),
    UClip(Quantile(window=5, scope="tensor")),
]
BAD: list[tuple[Callable[[], object], str]] = [
    (lambda: MaxNorm(0.0), "max_norm must be above 0, got 0.0"),
    (lambda: MaxNorm(-1.0), "max_norm must be above 0, got -1.0"),
    (lambda: MaxNorm(math.nan), "max_norm must be above 0, got nan"),
    (lambda: MaxNorm(1.0, p=0.0), "p must be above 0"),
    (lambda: MaxNorm(1.0, scope="unit"), "scope must be"),  # type: ignore[arg-type]
    (lambda: MaxValue(0.0), "max_value must be above 0"),
    (lambda: MaxValue(math.nan), "max_value must be above 0"),
    (lambda: Quantile(q=1.1), r"q must be in \[0, 1\], got 1.1"),
    (lambda: Quantile(q=math.nan), r"q must be in \[0, 1\]"),
    (lambda: Quantile(window=0), "window must be at least 1"),
    (lambda: Quantile(scope="unit"), "scope must be"),  # type: ignore[arg-type]
    (lambda: ZScore(z=0.0), "z must be above 0"),
    (lambda: ZScore(alpha=1.0), "alpha must be in"),
    (lambda: ZScore(warmup=1), "warmup must be at least 2"),
    (lambda: ZScore(mode="median"), "mode must be"),  # type: ignore[arg-type]
    (lambda: ZScore(max_norm=0.0), "max_norm must be above 0"),
    (lambda: ZScore(patience=0), "patience must be at least 1"),
    (lambda: ZScore(scope="unit"), "scope must be"),  # type: ignore[arg-type]
    (lambda: Adaptive(window=15), "window must be at least 16"),
    (lambda: Adaptive(k=0.0), "k must be above 0"),
    (lambda: Adaptive(cap=1.0), "cap must be above 1"),
    (lambda: Adaptive(scope="unit"), "scope must be"),  # type: ignore[arg-type]
    (lambda: MedianMultiple(multiple=0.0), "multiple must be above 0"),
    (lambda: MedianMultiple(window=9), "window must be at least 10"),
    (lambda: MedianMultiple(scope="unit"), "scope must be"),  # type: ignore[arg-type]
    (lambda: SkipSpikes(sigmas=0.0), "sigmas must be above 0"),
    (lambda: SkipSpikes(window=3), "window must be at least 4"),
    (lambda: SkipSpikes(patience=0), "patience must be at least 1"),
    (lambda: AGC(share=0.0), "share must be above 0"),
    (lambda: AGC(least=0.0), "least must be above 0"),
    (lambda: AGC(scope="total"), "scope must be"),  # type: ignore[arg-type]
    (lambda: AdaGC(multiple=0.0), "multiple must be above 0"),
    (lambda: AdaGC(beta=1.0), "beta must be in"),
    (lambda: AdaGC(warmup=0), "warmup must be at least 1"),
    (lambda: AdaGC(max_norm=0.0), "max_norm must be above 0"),
    (lambda: AdaGC(patience=0), "patience must be at least 1"),
    (lambda: StableSPAM(gamma1=1.0), "gamma1 must be in"),
    (lambda: StableSPAM(eps=0.0), "eps must be above 0"),
    (lambda: UClip(AGC()), "looks at norms alone"),
    (lambda: UClip(1.0), "expected a rule"),  # type: ignore[arg-type]
]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
every_rule = pytest.mark.parametrize("rule", RULES, ids=repr)
every_one = pytest.mark.parametrize("rule", [*RULES, *TRANSFORMS], ids=repr)


@pytest.fixture(params=["cpu", "accelerator"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The accelerator's arithmetic gives the same answers; here it runs on CPU tensors."""
    if request.param == "accelerator":
        monkeypatch.setattr(Home, "at_hand", False)
    return str(request.param)


def new(
    rule: Rule[Any] | Transform[Any], dtype: torch.dtype = torch.float32, on_nonfinite: Any = "skip"
) -> Clipper:
    """Over two parameters, of 2 x 2 elements and of 1."""
    shapes = {"w": (2, 2), "b": (1,)}
    pairs = [(n, torch.nn.Parameter(torch.ones(k, dtype=dtype))) for n, k in shapes.items()]
    return Clipper(pairs, rule, on_nonfinite=on_nonfinite)


def drive(clipper: Clipper, norms: list[float]) -> list[tuple[Clipped, list[Tensor | None]]]:
    """One step per norm -> what it returned, and the gradients that it left."""
    w, b = clipper._engine.params
    out: list[tuple[Clipped, list[Tensor | None]]] = []
    for norm in norms:
        w.grad, b.grad = torch.full_like(w, norm * 0.4), torch.full_like(b, norm * 0.6)
        out.append((clipper.step(), [w.grad, b.grad]))
    return out


def norms(seed: int, n: int) -> list[float]:
    values: list[float] = torch.rand(n, generator=torch.manual_seed(seed)).mul(10).tolist()
    return values


def measure(rule: Rule[Any], grads: list[Tensor | None]) -> list[float]:
    """In the scope of the rule, by numpy's definition in float64."""
    held = [g.double() for g in grads if g is not None]
    flat = [g.flatten() for g in held]
    p = math.inf if rule.scope == "element" else rule.needs.p
    parts = [torch.cat(flat)] if rule.scope == "total" else flat
    if rule.scope == "unit":
        parts = [unit for g in held for unit in (g.unbind(rule.needs.axis) if g.ndim > 1 else [g])]
    return [float(torch.linalg.vector_norm(part, p)) for part in parts]


@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_never_above_the_threshold_and_never_grows(rule: Rule[Any], dtype: torch.dtype) -> None:
    clipper = new(rule, dtype)
    slack = 1 + 8 * max(torch.finfo(dtype).eps, 1e-7)
    for norm, (result, grads) in zip(norms(0, 60), drive(clipper, norms(0, 60)), strict=True):
        if rule.needs.skips and norm > float(result.threshold):
            assert (grads, float(result.coefficient)) == ([None, None], 0.0)
            continue
        left = measure(rule, grads)
        before = measure(rule, [torch.full((2, 2), 0.4 * norm), torch.full((1,), 0.6 * norm)])
        assert all(after <= old * slack for after, old in zip(left, before, strict=True))
        # The reported threshold is of what was scaled most, so something is at or below it.
        assert min(left) <= float(result.threshold) * slack
        if rule.scope == "total":
            assert left[0] == pytest.approx(before[0] * float(result.coefficient), rel=0.02)
        assert 0.0 <= float(result.coefficient) <= 1.0
        for g in grads:
            assert g is not None
            assert g.dtype == dtype
        assert {t.dtype for t in result[:3]} == {torch.float32}
    assert {t.dtype for t in clipper.states[0]} <= {torch.float32, torch.int64}


@every_one
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_nonfinite_steps_never_enter_the_state(rule: Any, bad: float) -> None:
    sequence = norms(1, 40)
    clean, dirty = new(rule), new(rule)
    drive(clean, sequence)
    places = (0, 1, 11, 32)
    for at in places:
        sequence.insert(at, bad)
    driven = drive(dirty, sequence)
    torch.testing.assert_close(clean.states, dirty.states, equal_nan=True, rtol=0, atol=0)
    for at in places:
        result, grads = driven[at]
        assert not result.finite
        assert result.culprits == ("w", "b")
        assert result.coefficient == 0.0
        assert grads == [None, None]


@every_one
def test_policy_zero_and_keep(rule: Any) -> None:
    _, grads = drive(new(rule, on_nonfinite="zero"), [1.0, math.inf])[1]
    torch.testing.assert_close(grads, [torch.zeros(2, 2), torch.zeros(1)])
    _, grads = drive(new(rule, on_nonfinite="keep"), [1.0, math.inf])[1]
    torch.testing.assert_close(grads, [torch.full(n, math.inf) for n in ((2, 2), (1,))])


@every_one
def test_resume_is_exact(rule: Any) -> None:
    sequence = norms(2, 60)
    whole, first, second = new(rule), new(rule), new(rule)
    drive(first, [*sequence[:30], math.nan])
    second.load_state_dict(first.state_dict())
    want, got = drive(whole, sequence)[30:], drive(second, sequence[30:])
    for (a, grads_a), (b, grads_b) in zip(want, got, strict=True):
        assert [float(x) for x in a[:3]] == [float(x) for x in b[:3]]
        torch.testing.assert_close(grads_a, grads_b, rtol=0, atol=0)


@every_one
def test_zero_gradients_stay_zero(rule: Any) -> None:
    """0 / 0 where norm == threshold == 0 (optax #1752)."""
    left = [grads for _, grads in drive(new(rule), [0.0] * 40 + [5.0])]
    if isinstance(rule, SkipSpikes):
        left[40] = [torch.ones(1) if g is None else g for g in left[40]]  # a spike, skipped
    torch.testing.assert_close(left[:40], [[torch.zeros(2, 2), torch.zeros(1)]] * 40)
    assert all(g is not None and bool(g.isfinite().all()) for g in left[40])


@pytest.mark.parametrize("rule", [r for r in RULES if r.scope != "total"], ids=repr)
def test_a_parameter_without_gradient_keeps_its_state(rule: Rule[Any]) -> None:
    clipper = new(rule)
    drive(clipper, norms(3, 20))
    before = [t[..., 1].clone() for t in clipper.states[0]]
    w, b = clipper._engine.params
    for norm in norms(4, 5):
        w.grad, b.grad = torch.full_like(w, norm), None
        clipper.step()
    for old, now in zip(before, clipper.states[0], strict=True):
        torch.testing.assert_close(old, now[..., 1], rtol=0, atol=0)


@every_one
def test_repr_is_the_configuration(rule: Any, path: str) -> None:
    ast.parse(repr(rule), mode="eval")
    assert eval(repr(rule).replace("inf", "math.inf")) == rule
    assert hash(rule) == hash(eval(repr(rule).replace("inf", "math.inf")))


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_bad_options_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        make()
