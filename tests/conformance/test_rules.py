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

from gradwarden.clip.clipper import Clipper
from gradwarden.clip.engine import Clipped
from gradwarden.clip.part import Home
from gradwarden.clip.rule import Rule
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.clip.rules.zscore import ZScore
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
]
DTYPES = [torch.float64, torch.float32, torch.float16, torch.bfloat16]
every_rule = pytest.mark.parametrize("rule", RULES, ids=repr)


@pytest.fixture(params=["cpu", "accelerator"], autouse=True)
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The accelerator's arithmetic gives the same answers; here it runs on CPU tensors."""
    if request.param == "accelerator":
        monkeypatch.setattr(Home, "at_hand", False)
    return str(request.param)


def new(rule: Rule[Any], dtype: torch.dtype = torch.float32, on_nonfinite: Any = "skip") -> Clipper:
    """Over two parameters, of 4 elements and of 1."""
    sizes = {"w": 4, "b": 1}
    pairs = [(n, torch.nn.Parameter(torch.zeros(k, dtype=dtype))) for n, k in sizes.items()]
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
    flat = [g.double().flatten() for g in grads if g is not None]
    p = math.inf if rule.scope == "element" else rule.needs.p
    parts = [torch.cat(flat)] if rule.scope == "total" else flat
    return [float(torch.linalg.vector_norm(part, p)) for part in parts]


@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_never_above_the_threshold_and_never_grows(rule: Rule[Any], dtype: torch.dtype) -> None:
    clipper = new(rule, dtype)
    slack = 1 + 8 * max(torch.finfo(dtype).eps, 1e-7)
    for norm, (result, grads) in zip(norms(0, 60), drive(clipper, norms(0, 60)), strict=True):
        left = measure(rule, grads)
        before = measure(rule, [torch.full((4,), 0.4 * norm), torch.full((1,), 0.6 * norm)])
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
    assert {t.dtype for t in clipper.state} <= {torch.float32, torch.int64}


@every_rule
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("at", [0, 10, 30])
def test_a_nonfinite_step_never_enters_the_state(rule: Rule[Any], bad: float, at: int) -> None:
    sequence = norms(1, 50)
    clean, dirty = new(rule), new(rule)
    drive(clean, sequence)
    result, grads = drive(dirty, [*sequence[:at], bad, *sequence[at:]])[at]
    torch.testing.assert_close(clean.state, dirty.state, equal_nan=True, rtol=0, atol=0)
    assert not result.finite
    assert result.culprits == ("w", "b")
    assert result.coefficient == 0.0
    assert grads == [None, None]


@every_rule
def test_policy_zero_and_keep(rule: Rule[Any]) -> None:
    _, grads = drive(new(rule, on_nonfinite="zero"), [1.0, math.inf])[1]
    torch.testing.assert_close(grads, [torch.zeros(4), torch.zeros(1)])
    _, grads = drive(new(rule, on_nonfinite="keep"), [1.0, math.inf])[1]
    torch.testing.assert_close(grads, [torch.full((n,), math.inf) for n in (4, 1)])


@every_rule
def test_resume_is_exact(rule: Rule[Any]) -> None:
    sequence = norms(2, 60)
    whole, first, second = new(rule), new(rule), new(rule)
    drive(first, [*sequence[:30], math.nan])
    second.load_state_dict(first.state_dict())
    want, got = drive(whole, sequence)[30:], drive(second, sequence[30:])
    for (a, grads_a), (b, grads_b) in zip(want, got, strict=True):
        assert [float(x) for x in a[:3]] == [float(x) for x in b[:3]]
        torch.testing.assert_close(grads_a, grads_b, rtol=0, atol=0)


@every_rule
def test_zero_gradients_stay_zero(rule: Rule[Any]) -> None:
    """0 / 0 where norm == threshold == 0 (optax #1752)."""
    left = [grads for _, grads in drive(new(rule), [0.0] * 40 + [5.0])]
    torch.testing.assert_close(left[:40], [[torch.zeros(4), torch.zeros(1)]] * 40)
    assert all(g is not None and bool(g.isfinite().all()) for g in left[40])


@pytest.mark.parametrize("rule", [r for r in RULES if r.scope != "total"], ids=repr)
def test_a_parameter_without_gradient_keeps_its_state(rule: Rule[Any]) -> None:
    clipper = new(rule)
    drive(clipper, norms(3, 20))
    before = [t[..., 1].clone() for t in clipper.state]
    w, b = clipper._engine.params
    for norm in norms(4, 5):
        w.grad, b.grad = torch.full_like(w, norm), None
        clipper.step()
    for old, now in zip(before, clipper.state, strict=True):
        torch.testing.assert_close(old, now[..., 1], rtol=0, atol=0)


@every_rule
def test_repr_is_the_configuration(rule: Rule[Any], path: str) -> None:
    ast.parse(repr(rule), mode="eval")
    assert eval(repr(rule).replace("inf", "math.inf")) == rule
    assert hash(rule) == hash(eval(repr(rule).replace("inf", "math.inf")))


@pytest.mark.parametrize(("make", "sentence"), BAD)
def test_bad_options_are_refused(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        make()
