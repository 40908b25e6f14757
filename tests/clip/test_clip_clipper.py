"""The explicit form: closed forms, odd gradients, policies, misuse."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.clip.clipper import Clipper, clip_grad_norm_
from gradwarden.clip.part import Home
from gradwarden.clip.rule import Measured, Rule
from gradwarden.clip.rules.max_norm import MaxNorm, NoState
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.core.errors import BadInput, NonFiniteGradient


@pytest.fixture(params=["cpu", "accelerator"])
def path(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "accelerator":
        monkeypatch.setattr(Home, "at_hand", False)
    return str(request.param)


def params(**grads: Tensor | None) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, grad in grads.items():
        shape, dtype = (grad.shape, grad.dtype) if grad is not None else ((1,), torch.float32)
        found[name] = nn.Parameter(torch.zeros(shape, dtype=dtype))
        found[name].grad = grad
    return found


def grad(p: Tensor) -> Tensor:
    assert p.grad is not None
    return p.grad.to_dense()


def test_three_four_five(path: str) -> None:
    ps = params(a=torch.tensor([3.0]), b=torch.tensor([4.0]), c=None)
    result = Clipper(ps.items(), MaxNorm(2.5)).step()
    assert [float(x) for x in result[:4]] == [5.0, 2.5, 0.5, 1.0]
    assert [float(grad(ps[name])) for name in "ab"] == [1.5, 2.0]
    assert result.culprits == ()
    assert result.worst == (("b", 4.0), ("a", 3.0))


@pytest.mark.parametrize("norm", [5.0, 6.0, math.inf])
def test_at_or_below_the_bound_nothing_is_touched(norm: float) -> None:
    ps = params(a=torch.tensor([3.0, 4.0]))
    before = grad(ps["a"])._version
    assert Clipper(ps.items(), MaxNorm(norm)).step().coefficient == 1.0
    assert grad(ps["a"])._version == before


def test_scope_tensor_scales_only_what_exceeds(path: str) -> None:
    ps = params(a=torch.full((4,), 3.0), b=torch.tensor([0.5]))
    result = Clipper(ps.items(), MaxNorm(2.0, scope="tensor")).step()
    torch.testing.assert_close(grad(ps["a"]), torch.ones(4))
    assert grad(ps["b"]) == 0.5
    assert float(result.coefficient) == pytest.approx(1 / 3)


def test_max_value_matches_torch_and_takes_what_torch_does_not(path: str) -> None:
    values = torch.linspace(-3, 3, 11)
    ours, theirs = params(a=values.clone()), params(a=values.clone())
    Clipper(ours.items(), MaxValue(0.7)).step()
    torch.nn.utils.clip_grad_value_(theirs.values(), 0.7)
    torch.testing.assert_close(grad(ours["a"]), grad(theirs["a"]), rtol=0, atol=0)

    twice = torch.sparse_coo_tensor(
        torch.tensor([[1, 1]]), torch.tensor([0.5, 0.5]), (3,), check_invariants=True
    )
    ps = params(a=torch.tensor([3 + 4j, 0.1j]), b=twice, c=torch.tensor(2.0).expand(3, 2))
    Clipper(ps.items(), MaxValue(0.7)).step()
    torch.testing.assert_close(grad(ps["a"]), torch.tensor([0.42 + 0.56j, 0.1j]))
    torch.testing.assert_close(grad(ps["b"]), torch.tensor([0.0, 0.7, 0.0]))
    torch.testing.assert_close(grad(ps["c"]), torch.full((3, 2), 0.7))


ODD = {
    "sparse": lambda: torch.sparse_coo_tensor(
        torch.tensor([[0, 2, 0]]), torch.ones(3), (4,), check_invariants=True
    ),
    "expanded": lambda: torch.tensor(0.5).expand(10, 20),
    "complex": lambda: torch.tensor([3 + 4j, 1j]),
    "transposed": lambda: torch.arange(6.0).view(2, 3).T,
    "bfloat16": lambda: torch.full((9,), 2.0, dtype=torch.bfloat16),
    "float16": lambda: torch.full((9,), 300.0, dtype=torch.float16),
    "float64": lambda: torch.full((9,), 1e30, dtype=torch.float64),
    "overflowing": lambda: torch.full((9000,), 1e19),
    "empty": lambda: torch.zeros(0, 3),
}


@pytest.mark.parametrize("kind", ODD)
@pytest.mark.parametrize("rule", [MaxNorm(0.5), MaxNorm(0.5, scope="tensor")], ids=repr)
def test_odd_gradients(kind: str, rule: Rule[Any], path: str) -> None:
    """Scaled to norm 0.5 together with an ordinary one, whatever they are."""
    if (kind, path) == ("overflowing", "accelerator"):
        pytest.skip("squares that overflow count as not finite there: to look again would wait")
    value = ODD[kind]()
    before = value.to_dense().clone().to(torch.complex128 if value.is_complex() else torch.float64)
    ps = params(odd=value, plain=torch.ones(3))
    result = Clipper(ps.items(), rule).step()
    assert result.finite
    norms = [float(before.abs().norm()), 3**0.5]
    total = math.hypot(*norms)
    wanted = (
        [n * 0.5 / total for n in norms] if rule.scope == "total" else [min(norms[0], 0.5), 0.5]
    )
    left = [grad(p).to(before.dtype).abs().norm() for p in ps.values()]
    assert [float(x) for x in left] == pytest.approx(wanted, rel=5e-3)
    assert float(result.norm) == pytest.approx(total, rel=1e-6)


def test_a_tied_parameter_and_a_shared_gradient_count_once(path: str) -> None:
    p, q = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2))
    p.grad = torch.tensor([3.0, 4.0])
    q.grad = p.grad
    result = Clipper([("a", p), ("b", p), ("c", q)], MaxNorm(2.5)).step()
    assert result.norm == 5.0
    torch.testing.assert_close(p.grad, torch.tensor([1.5, 2.0]), rtol=0, atol=0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_policies(bad: float, path: str) -> None:
    def step(on_nonfinite: Any) -> tuple[dict[str, Tensor], Any]:
        ps = params(a=torch.tensor([bad, 9.0]), b=torch.tensor([7.0]))
        return ps, Clipper(ps.items(), MaxNorm(1.0), on_nonfinite=on_nonfinite).step

    ps, go = step("skip")
    assert go().culprits == ("a",)
    assert (ps["a"].grad, ps["b"].grad) == (None, None)
    ps, go = step("zero")
    go()
    assert not grad(ps["a"]).any()
    assert not grad(ps["b"]).any()
    ps, go = step("keep")
    go()
    assert grad(ps["b"]) == 7.0
    assert grad(ps["a"])[1] == 9.0
    ps, go = step("raise")
    with pytest.raises(NonFiniteGradient, match=r"step 1: the gradient is not finite in a$"):
        go()
    assert grad(ps["b"]) == 7.0


def test_max_skips_names_step_and_parameters(path: str) -> None:
    ps = params(a=torch.ones(1), b=torch.ones(1))
    clipper = Clipper(ps.items(), MaxNorm(1.0), max_skips=3)

    def step(value: float) -> None:
        ps["a"].grad, ps["b"].grad = torch.ones(1), torch.full((1,), value)
        clipper.step()

    for value in (math.nan, math.nan, 1.0, math.nan, math.nan):
        step(value)
    with pytest.raises(NonFiniteGradient, match=r"step 6: 3 steps in a row .* not finite in b$"):
        step(math.inf)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_the_rule_sees_finite_numbers_only(
    bad: float, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def step(_: MaxNorm, seen: Measured, state: NoState) -> tuple[Tensor, NoState]:
        assert seen.norms.isfinite().all()
        assert seen.total.isfinite()
        return torch.full_like(seen.norms, 1.0), state

    monkeypatch.setattr(MaxNorm, "step", step)
    for scope in ("total", "tensor"):
        ps = params(a=torch.tensor([bad, 1.0]), b=torch.ones(3))
        assert not Clipper(ps.items(), MaxNorm(1.0, scope=scope)).step().finite


def test_clipping_the_same_gradients_twice_is_refused() -> None:
    ps = params(a=torch.ones(3), b=torch.ones(2))
    clipper = Clipper(ps.items(), MaxNorm(1.0))
    clipper.step()
    with pytest.raises(BadInput, match="these gradients were clipped already"):
        clipper.step()
    grad(ps["b"]).add_(1.0)  # as another backward does
    clipper.step()


def test_drop_in_for_torch() -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.zeros(5)) for _ in range(3)]
    theirs = [nn.Parameter(torch.zeros(5)) for _ in range(3)]
    for p, q in zip(ours, theirs, strict=True):
        p.grad = torch.randn(5)
        q.grad = p.grad.clone()
    norm = clip_grad_norm_(iter(ours), 1.0)
    assert float(norm) == pytest.approx(float(nn.utils.clip_grad_norm_(theirs, 1.0)), rel=1e-6)
    for p, q in zip(ours, theirs, strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=2e-6, atol=0)
    assert float(clip_grad_norm_(ours[0], 9.0, math.inf)) == float(grad(ours[0]).abs().max())
    grad(ours[1])[0] = math.nan
    assert clip_grad_norm_(ours, 1.0).isnan()
    assert all(p.grad is None for p in ours)


def test_state_loads_in_another_order_and_refuses_another_model() -> None:
    rule = Quantile(q=0.5, window=5, scope="tensor")
    ps = params(a=torch.ones(2), b=torch.full((2,), 3.0), c=torch.zeros(1))
    first = Clipper(ps.items(), rule)
    first.step()
    other = Clipper(reversed(ps.items()), rule)
    other.load_state_dict(first.state_dict())
    torch.testing.assert_close(
        other.states[0].norms.flip(-1), first.states[0].norms, rtol=0, atol=0
    )
    with pytest.raises(BadInput, match="expected version"):
        other.load_state_dict(first.state_dict() | {"version": 0})
    with pytest.raises(BadInput, match=r"expected rule Quantile\(\), got Quantile\(q=0.5"):
        Clipper(ps.items(), Quantile()).load_state_dict(first.state_dict())
    changed = Clipper(params(a=torch.ones(2), b=torch.ones(2), d=torch.ones(1)).items(), rule)
    with pytest.raises(BadInput, match=r"1 parameters are gone \['c'\], 1 are new \['d'\]"):
        changed.load_state_dict(first.state_dict())


def module() -> nn.Module:
    return nn.Linear(2, 2)


MISUSE: list[tuple[Callable[[], object], str]] = [
    (lambda: Clipper([], MaxNorm(1.0)), "got no parameters to clip"),
    (lambda: Clipper(module(), MaxNorm(1.0)), r"expected model.named_parameters\(\)"),  # type: ignore[arg-type]
    (lambda: Clipper(module().parameters(), MaxNorm(1.0)), "expected pairs"),  # type: ignore[arg-type]
    (lambda: Clipper(module().named_parameters(), 1.0), "expected a rule"),  # type: ignore[arg-type]
    (lambda: Clipper(module().named_parameters(), MaxNorm(1.0)).step(), "no parameter has a grad"),
    (lambda: Clipper([("w", torch.ones(3))], MaxNorm(1.0)), "not their gradients"),
    (lambda: Clipper([("w", nn.Parameter(torch.ones(3)) * 2)], MaxNorm(1.0)), "a leaf"),
    (lambda: Clipper([("w", 3.0)], MaxNorm(1.0)), "expected a parameter"),  # type: ignore[list-item]
    (
        lambda: Clipper([("w", nn.Parameter(torch.ones(1)))] * 1, MaxNorm(1.0), max_skips=0),
        "max_skips must be at least 1",
    ),
    (
        lambda: Clipper([("w", nn.Parameter(torch.ones(1)))], MaxNorm(1.0), on_nonfinite="drop"),  # type: ignore[arg-type]
        "on_nonfinite must be one of",
    ),
    (
        lambda: Clipper([(n, nn.Parameter(torch.ones(1))) for n in "aa"], MaxNorm(1.0)),
        "two parameters named 'a'",
    ),
    (lambda: clip_grad_norm_([], 1.0), "got no parameters to clip"),
    (lambda: clip_grad_norm_([torch.ones(3)], 1.0), "not their gradients"),
    (lambda: clip_grad_norm_(module().parameters(), 1.0), "no parameter has a gradient"),
    (lambda: clip_grad_norm_(module(), 1.0), r"expected model.parameters\(\)"),  # type: ignore[arg-type]
    (lambda: clip_grad_norm_(module().parameters(), -1.0), "max_norm must be above 0"),
    (lambda: clip_grad_norm_(module().parameters(), math.nan), "max_norm must be above 0"),
]


@pytest.mark.parametrize(("misuse", "sentence"), MISUSE)
def test_misuse_is_refused_in_one_sentence(misuse: Callable[[], object], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        misuse()


def test_sharded_parameters_are_refused(tmp_path: Any) -> None:
    import torch.distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.tensor import Shard, distribute_tensor

    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/s", rank=0, world_size=1)
    try:
        mesh = init_device_mesh("cpu", (1,))
        shard = nn.Parameter(distribute_tensor(torch.ones(4), mesh, [Shard(0)]))
        with pytest.raises(BadInput, match="'w' is sharded over several processes"):
            Clipper([("w", shard)], MaxNorm(1.0))
    finally:
        dist.destroy_process_group()
