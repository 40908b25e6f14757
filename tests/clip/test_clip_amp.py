"""GradScaler, fused kernels, closures, compiled steps: what stands between backward and update."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from gradwarden.clip.attach import Guard, attach
from gradwarden.clip.fold import Fold
from gradwarden.clip.record import read_record
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.rules.skip_spikes import SkipSpikes
from gradwarden.clip.transforms.u_clip import UClip
from gradwarden.core.errors import BadInput

FUSED: list[tuple[type[torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
    (torch.optim.SGD, {"lr": 0.1}),
    (torch.optim.Adam, {"lr": 0.01}),
    (torch.optim.AdamW, {"lr": 0.01}),
    (torch.optim.Adagrad, {"lr": 0.1}),
]
fused_or_not = pytest.mark.parametrize("fused", [False, True])
every_fused = pytest.mark.parametrize(("make", "options"), FUSED)


def model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def loss_of(net: nn.Module, i: int, factor: float = 1.0) -> Tensor:
    x = torch.randn(5, 4, generator=torch.manual_seed(i))
    loss: Tensor = net(x).square().mean() * factor
    return loss


def weights(net: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in net.parameters()]


@every_fused
@fused_or_not
@pytest.mark.parametrize("unscaled", [False, True])
@pytest.mark.parametrize("rule", [MaxNorm(0.5), MaxValue(0.1), UClip(MaxNorm(0.5))], ids=repr)
def test_grad_scaler_in_any_order(
    make: Any, options: Any, fused: bool, unscaled: bool, rule: Any
) -> None:
    """As without a scaler; a step that overflows is left out, and the scale is halved."""
    plain, scaled = model(), model()
    first = make(plain.parameters(), **options)
    second = make(scaled.parameters(), fused=fused, **options)
    one, two = attach(first, rule), attach(second, rule)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0, growth_interval=1000)
    for i in range(8):
        bad = math.inf if i in (0, 4) else 1.0
        plain.zero_grad()
        loss_of(plain, i, bad).backward()
        first.step()
        scaled.zero_grad()
        scaler.scale(loss_of(scaled, i, bad)).backward()
        if unscaled:
            scaler.unscale_(second)
        scaler.step(second)
        scaler.update()
        assert not hasattr(second, "grad_scale")
        assert not hasattr(second, "found_inf")
        if i not in (0, 4):
            assert one.last is not None
            assert two.last is not None
            torch.testing.assert_close(two.last.norm, one.last.norm)
    torch.testing.assert_close(weights(scaled), weights(plain), rtol=1e-4, atol=1e-6)
    assert scaler.get_scale() == 256.0


@every_fused
def test_the_kernel_clips_and_leaves_the_gradient_clipped(make: Any, options: Any) -> None:
    net = model()
    optimizer = make(net.parameters(), fused=True, **options)
    attach(optimizer, MaxNorm(0.25))
    loss_of(net, 0, 50.0).backward()
    optimizer.step()
    norm = torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.25, rel=1e-5)
    assert not hasattr(optimizer, "grad_scale")


@every_fused
def test_no_flag_is_left_where_the_step_raises(make: Any, options: Any) -> None:
    net = model()
    optimizer = make(net.parameters(), fused=True, **options)
    guard = attach(optimizer, MaxNorm(0.25))

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    handle = optimizer.register_step_pre_hook(fail)
    loss_of(net, 0, 50.0).backward()
    with pytest.raises(RuntimeError, match="planted"):
        optimizer.step()
    handle.remove()
    net.zero_grad()
    loss_of(net, 0, 1e-3).backward()
    before = [p.grad.clone() for p in net.parameters() if p.grad is not None]
    optimizer.step()
    assert guard.last is not None
    assert guard.last.coefficient == 1.0
    torch.testing.assert_close([p.grad for p in net.parameters()], before, rtol=0, atol=0)
    assert not hasattr(optimizer, "grad_scale")


def test_fold_on_a_device_drops_a_step_in_the_kernel() -> None:
    """The arithmetic of an accelerator, on the CPU's kernel."""
    net = model()
    optimizer = torch.optim.AdamW(net.parameters(), fused=True, weight_decay=0.1)
    fold = Fold(optimizer)
    loss_of(net, 0).backward()
    optimizer.step()
    before = weights(net)
    net.zero_grad()
    loss_of(net, 1, math.nan).backward()
    fold.clip(torch.tensor(1.0), torch.tensor(True))
    optimizer.step()
    fold.restore()
    torch.testing.assert_close(weights(net), before, rtol=0, atol=0)
    assert {float(s["step"]) for s in optimizer.state.values()} == {1.0}
    assert not hasattr(optimizer, "found_inf")
    optimizer.found_inf = torch.tensor(2.0)  # type: ignore[attr-defined]
    optimizer.grad_scale = None  # type: ignore[attr-defined]
    fold.clip(torch.tensor(1.0), torch.tensor(False))
    optimizer.step()
    fold.restore()
    torch.testing.assert_close(weights(net), before, rtol=0, atol=0)
    assert optimizer.grad_scale is None  # type: ignore[attr-defined]


def test_what_a_scaler_has_set_since_a_raised_step_is_kept() -> None:
    optimizer = torch.optim.AdamW(model().parameters(), fused=True)
    fold, scale = Fold(optimizer), torch.tensor(8.0)
    fold.clip(0.5)
    optimizer.grad_scale = scale  # type: ignore[attr-defined]
    fold.restore()
    assert optimizer.grad_scale is scale  # type: ignore[attr-defined]
    assert not hasattr(optimizer, "found_inf")


def test_momentum_that_was_never_written_is_not_left_out_by_the_kernel() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9, fused=True)
    fold = Fold(optimizer)
    loss_of(net, 0).backward()
    assert fold.begin_uninitialised()
    optimizer.step()
    assert not fold.begin_uninitialised()
    assert not Fold(torch.optim.SGD(net.parameters(), lr=0.1, fused=True)).begin_uninitialised()


def cuda_guard(rule: Any, on_nonfinite: Any, fused: bool) -> Guard:
    params = [nn.Parameter(torch.ones(n, device="cuda")) for n in (7, 9)]
    for p in params:
        p.grad = torch.ones_like(p, requires_grad=False)
    optimizer = torch.optim.AdamW(params, fused=fused, foreach=not fused)
    guard = attach(optimizer, rule, on_nonfinite=on_nonfinite)
    guard._before(optimizer, (optimizer,), {})
    return guard


@pytest.mark.parametrize(
    ("rule", "on_nonfinite", "fused", "syncs"),
    [
        (MaxNorm(1.0), "skip", True, False),
        (MaxNorm(1.0), "zero", True, False),
        (MaxNorm(1.0), "keep", False, False),
        (MaxNorm(1.0), "zero", False, False),
        (MaxNorm(1.0), "skip", False, True),
        (MaxNorm(1.0), "raise", True, True),
        (MaxNorm(1.0, scope="tensor"), "skip", True, True),
        (MaxValue(1.0), "zero", True, False),
        (SkipSpikes(), "skip", True, False),
        (SkipSpikes(), "zero", False, True),
    ],
)
def test_syncs_says_which_pairs_wait(
    rule: Any, on_nonfinite: str, fused: bool, syncs: bool
) -> None:
    """A fake tensor's value cannot be read, so a step that waits raises here."""
    with FakeTensorMode():
        if syncs:
            with pytest.raises(Exception, match="local_scalar_dense"):
                cuda_guard(rule, on_nonfinite, fused)
        else:
            guard = cuda_guard(rule, on_nonfinite, fused)
            assert not guard.syncs
        optimizer = torch.optim.AdamW(
            [nn.Parameter(torch.ones(3, device="cuda"))], fused=fused, foreach=not fused
        )
        assert attach(optimizer, rule, on_nonfinite=on_nonfinite).syncs is syncs  # type: ignore[arg-type]
    cpu = torch.optim.AdamW([nn.Parameter(torch.ones(3))])
    assert not attach(cpu, rule, on_nonfinite=on_nonfinite).syncs  # type: ignore[arg-type]


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
@pytest.mark.parametrize("bad_at", [0, 1, 4, 11])
def test_a_lost_lbfgs_step_leaves_everything_as_it_was(search: str | None, bad_at: int) -> None:
    """The closure is not finite at its evaluation `bad_at`; the run without it goes the same way."""
    results = []
    for bad in (bad_at, None):
        net = model()
        optimizer = torch.optim.LBFGS(net.parameters(), lr=0.5, max_iter=4, line_search_fn=search)
        guard = attach(optimizer, MaxNorm(1e9), model=net)
        calls = 0
        lost = False

        def closure(net: nn.Module = net, opt: Any = optimizer, bad: int | None = bad) -> Tensor:
            nonlocal calls, lost
            opt.zero_grad()
            lost = lost or calls == bad
            loss = loss_of(net, 0, math.nan if calls == bad else 1.0)
            loss.backward()
            calls += 1
            return loss

        done = 0
        while done < 4:
            lost, before = False, weights(net)
            optimizer.step(closure)
            if lost:
                torch.testing.assert_close(weights(net), before, rtol=0, atol=0)
                assert guard.last is not None
                assert guard.last.culprits == ("weight", "bias")
            else:
                done += 1
        results.append(weights(net))
    torch.testing.assert_close(*results, rtol=0, atol=0)


def test_lbfgs_is_clipped_at_every_evaluation() -> None:
    net = model()
    optimizer = torch.optim.LBFGS(net.parameters(), lr=1.0, max_iter=1)
    guard = attach(optimizer, MaxNorm(1e-3))
    before = weights(net)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = loss_of(net, 0, 100.0)
        loss.backward()
        return loss

    optimizer.step(closure)
    moved = torch.stack([(a - b).norm() for a, b in zip(weights(net), before, strict=True)])
    assert 0 < float(moved.norm()) <= 1.001e-3
    assert guard.last is not None
    assert guard.last.coefficient < 1


def test_a_spiking_loss_skips_the_step() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-4)
    guard = attach(optimizer, SkipSpikes(window=8))
    for i in range(12):
        net.zero_grad()
        loss = loss_of(net, i)
        loss.backward()
        guard.observe(loss.detach() * (1000 if i == 10 else 1))
        before = weights(net)
        optimizer.step()
        moved = any(bool((a != b).any()) for a, b in zip(weights(net), before, strict=True))
        assert moved == (i != 10)
    assert guard.last is not None


def test_gradient_accumulation_is_clipped_once_at_the_step() -> None:
    net, whole = model(), model()
    first, second = (torch.optim.SGD(m.parameters(), lr=0.1) for m in (net, whole))
    guard = attach(first, MaxNorm(0.5))
    attach(second, MaxNorm(0.5))
    for i in range(4):
        loss_of(net, i).backward()
    first.step()
    torch.stack([loss_of(whole, i) for i in range(4)]).sum().backward()
    second.step()
    assert guard.steps == 1
    torch.testing.assert_close(weights(net), weights(whole))


def test_several_optimizers_have_their_own_norms() -> None:
    net = model()
    first = torch.optim.SGD([net.weight], lr=0.0)
    second = torch.optim.SGD([net.bias], lr=0.0)
    guards = [attach(o, MaxNorm(1e-3), model=net) for o in (first, second)]
    loss_of(net, 0).backward()
    norms = [float(p.grad.norm()) for p in net.parameters() if p.grad is not None]
    for optimizer in (first, second):
        optimizer.step()
    for guard, norm in zip(guards, norms, strict=True):
        assert guard.last is not None
        assert float(guard.last.norm) == pytest.approx(norm)


def test_groups_have_their_own_bounds_which_a_schedule_may_change() -> None:
    params = [nn.Parameter(torch.zeros(4)) for _ in range(3)]
    groups: list[dict[str, Any]] = [{"params": params[:1], "max_norm": 2.0}, {"params": params[1:]}]
    optimizer = torch.optim.SGD(groups, lr=0.0)
    attach(optimizer, MaxNorm(8.0))

    def norms() -> list[float]:
        for p in params:
            p.grad = torch.full((4,), 3.0)
        optimizer.step()
        return [float(p.grad.norm()) for p in params if p.grad is not None]

    assert norms() == pytest.approx([2.0, 8 / 2**0.5, 8 / 2**0.5])
    optimizer.param_groups[0]["max_norm"] = 0.5
    assert norms()[0] == pytest.approx(0.5)
    with pytest.raises(BadInput, match="need the rule MaxNorm"):
        attach(torch.optim.SGD(groups, lr=0.0))


def test_rules_by_name_pattern() -> None:
    def guarded(rules: Any) -> nn.Linear:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        attach(optimizer, rules, model=net)
        for p in net.parameters():
            p.grad = torch.full_like(p, 3.0)
        optimizer.step()
        return net

    net = guarded({"bias": MaxValue(0.5), "*": None})
    assert net.weight.grad is not None
    assert net.bias.grad is not None
    assert (float(net.weight.grad.max()), float(net.bias.grad.max())) == (3.0, 0.5)
    with pytest.raises(BadInput, match=r"no pattern of \['bias'\] fits the parameter 'weight'"):
        guarded({"bias": MaxValue(0.5)})
    with pytest.raises(BadInput, match=r"the pattern 'head.\*' fits no parameter"):
        guarded({"*": MaxValue(0.5), "head.*": None})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch, by its own compiler
def test_a_compiled_step_is_clipped() -> None:
    nets = model(), model()
    for net, compiled in zip(nets, (False, True), strict=True):
        optimizer = torch.optim.AdamW(net.parameters(), lr=0.01)
        attach(optimizer, MaxNorm(0.1))
        step = torch.compile(optimizer.step) if compiled else optimizer.step
        for i in range(4):
            net.zero_grad()
            loss_of(net, i, math.nan if i == 2 else 1.0).backward()
            step()
    torch.testing.assert_close(weights(nets[0]), weights(nets[1]))


@pytest.mark.parametrize("fused", [False, True])
def test_a_step_that_the_scaler_withholds_is_counted_and_told(tmp_path: Path, fused: bool) -> None:
    net = torch.nn.Linear(3, 2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, fused=fused)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    guard = attach(optimizer, MaxNorm(1.0), scaler=scaler, record=tmp_path / "run.jsonl")
    for bad in (False, True, False):
        optimizer.zero_grad()
        scaler.scale(net(torch.ones(1, 3)).sum()).backward()
        if bad:
            assert net.weight.grad is not None
            net.weight.grad[0, 0] = math.inf
        scaler.step(optimizer)
        scaler.update()
    guard.detach()
    assert "step" not in vars(scaler)
    told = read_record(tmp_path / "run.jsonl").events
    if fused:  # called with a flag: a step of the record, not finite
        assert (guard.steps, guard.withheld) == (3, 0)
        assert [event.kind for event in told] == ["non-finite"]
    else:
        assert (guard.steps, guard.withheld) == (2, 1)
        assert [(event.step, event.kind) for event in told] == [(1, "withheld")]


def test_another_optimizer_of_the_same_scaler_is_not_ours() -> None:
    ours, other = (torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1) for _ in range(2))
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    guard = attach(ours, MaxNorm(1.0), scaler=scaler)
    for optimizer in (ours, other):
        (p,) = optimizer.param_groups[0]["params"]
        scaler.scale(p.sum()).backward()
    (p,) = other.param_groups[0]["params"]
    p.grad.fill_(math.inf)
    scaler.step(other)
    scaler.step(ours)
    assert (guard.steps, guard.withheld) == (1, 0)
