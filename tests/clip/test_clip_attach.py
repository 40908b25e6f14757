"""The hook form: a skipped step leaves everything bit-equal; misuse is refused."""

import copy
import gc
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from gradwarden.clip.attach import attach
from gradwarden.clip.clipper import Clipper
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.core.errors import BadInput, NonFiniteGradient

OPTIMIZERS: list[tuple[type[torch.optim.Optimizer], dict[str, Any]]] = [
    (torch.optim.SGD, {"lr": 0.1}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "fused": True}),
    (torch.optim.Adam, {"amsgrad": True}),
    (torch.optim.Adam, {"fused": True}),
    (torch.optim.AdamW, {"foreach": False}),
    (torch.optim.AdamW, {"fused": True}),
    (torch.optim.Adagrad, {}),
    (torch.optim.Adagrad, {"fused": True}),
    (torch.optim.Adadelta, {}),
    (torch.optim.Adamax, {}),
    (torch.optim.NAdam, {}),
    (torch.optim.RAdam, {}),
    (torch.optim.ASGD, {}),
    (torch.optim.Rprop, {}),
    (torch.optim.RMSprop, {"momentum": 0.9, "centered": True}),
    (torch.optim.Adafactor, {}),
    (torch.optim.Muon, {}),
]
every_optimizer = pytest.mark.parametrize(
    ("make", "options"), OPTIMIZERS, ids=lambda x: getattr(x, "__name__", str(x))
)


def model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(4, 3, bias=False)


def backward(net: nn.Module, i: int, factor: float = 1.0) -> None:
    net.zero_grad()
    x = torch.randn(5, 4, generator=torch.manual_seed(i))
    (net(x).square().mean() * factor).backward()


def snapshot(net: nn.Module, optimizer: torch.optim.Optimizer) -> Any:
    state = optimizer.state_dict()
    state.pop("gradwarden", None)
    return copy.deepcopy((net.state_dict(), state))


def same(a: Any, b: Any) -> bool:
    """Bit for bit, NaN equal to NaN."""

    def plain(x: Any) -> Any:
        return (str(x.dtype), x.shape, x.numpy().tobytes()) if isinstance(x, Tensor) else x

    return bool(tree_map(plain, a) == tree_map(plain, b))


@every_optimizer
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("at", [0, 3])
def test_a_skipped_step_changes_nothing(make: Any, options: Any, bad: float, at: int) -> None:
    net = model()
    optimizer = make(net.parameters(), **options)
    guard = attach(optimizer, MaxNorm(1.0), model=net)
    for i in range(at):
        backward(net, i)
        optimizer.step()
    backward(net, at, bad)
    before, grad = snapshot(net, optimizer), net.weight.grad
    optimizer.step()
    assert same(before, snapshot(net, optimizer))
    assert net.weight.grad is grad
    assert guard.last is not None
    assert guard.last.culprits == ("weight",)
    for i in range(4):
        backward(net, i)
        optimizer.step()
    assert bool(net.weight.isfinite().all())


@every_optimizer
def test_attached_is_clipper_then_step(make: Any, options: Any) -> None:
    hooked, explicit = model(), model()
    first, second = make(hooked.parameters(), **options), make(explicit.parameters(), **options)
    guard = attach(first, Quantile(q=0.3))
    clipper = Clipper(explicit.named_parameters(), Quantile(q=0.3))
    for i, factor in enumerate([1, 1, 50, 1, math.nan, 1, 0.1, 1]):
        backward(hooked, i, factor)
        first.step()
        backward(explicit, i, factor)
        result = clipper.step()
        second.step()
        assert guard.last is not None
        assert [float(x) for x in guard.last[:2]] == pytest.approx(
            [float(x) for x in result[:2]], nan_ok=True
        )
    if options.get("fused"):  # the kernel divides where the explicit form multiplies
        torch.testing.assert_close(snapshot(hooked, first), snapshot(explicit, second))
    else:
        assert same(snapshot(hooked, first), snapshot(explicit, second))
    assert guard.steps == 8


def test_closure_is_clipped_inside() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = attach(optimizer, MaxNorm(1e-3))
    before = net.weight.detach().clone()

    def closure() -> float:
        backward(net, 0)
        return 7.0

    assert optimizer.step(closure) == 7.0
    moved = (net.weight.detach() - before).norm()
    assert float(moved) == pytest.approx(1e-4, rel=1e-3)
    assert optimizer.step(closure=closure) == 7.0
    assert guard.steps == 2


def test_a_step_that_raises_changes_nothing() -> None:
    net = model()
    optimizer = torch.optim.AdamW(net.parameters())
    attach(optimizer, MaxNorm(1.0))

    def fail(*_: object) -> None:
        raise RuntimeError("planted")

    handle = optimizer.register_step_pre_hook(fail)
    backward(net, 0, math.nan)
    before = snapshot(net, optimizer)
    with pytest.raises(RuntimeError, match="planted"):
        optimizer.step()
    assert same(before, snapshot(net, optimizer))
    handle.remove()
    backward(net, 1)
    grad = net.weight.grad
    optimizer.step()
    assert net.weight.grad is grad
    assert bool(net.weight.isfinite().all())


def test_raise_and_max_skips_reach_the_loop() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = attach(optimizer, MaxNorm(1.0), model=net, on_nonfinite="raise")
    backward(net, 0, math.nan)
    with pytest.raises(NonFiniteGradient, match="step 1: the gradient is not finite in weight"):
        optimizer.step()
    guard.detach()
    attach(optimizer, MaxNorm(1.0), max_skips=2)
    backward(net, 0, math.nan)
    optimizer.step()
    with pytest.raises(NonFiniteGradient, match="2 steps in a row"):
        optimizer.step()


def test_names_come_from_the_model_or_the_optimizer() -> None:
    def worst(optimizer: torch.optim.Optimizer, net: nn.Module | None) -> str:
        guard = attach(optimizer, MaxNorm(1.0), model=net)
        backward(net or module, 0)
        optimizer.step()
        assert guard.last is not None
        return guard.last.worst[0][0]

    module = model()
    assert worst(torch.optim.SGD(module.parameters()), module) == "weight"
    assert worst(torch.optim.SGD(module.named_parameters()), None) == "weight"
    assert worst(torch.optim.SGD(module.parameters()), None) == "group 0 parameter 0"


def test_one_guard_at_a_time_and_detach_takes_it_off() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    guard = attach(optimizer, MaxNorm(1e-6))
    with pytest.raises(BadInput, match="has a guard already: detach that one first"):
        attach(optimizer, MaxNorm(1.0))
    with pytest.warns(UserWarning, match="saw no step: gradients were not clipped"):
        guard.detach()
    guard.detach()
    before = net.weight.detach().clone()
    backward(net, 0)
    optimizer.step()
    assert float((net.weight.detach() - before).norm()) > 0.01
    attach(optimizer, MaxNorm(1.0))


def test_parameters_that_come_later_are_not_left_unguarded() -> None:
    net, late = model(), nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    guard = attach(optimizer, Quantile())
    backward(net, 0)
    optimizer.step()
    optimizer.add_param_group({"params": [late]})
    with pytest.raises(BadInput, match="given parameters after the guard: detach it"):
        optimizer.step()
    guard.detach()
    second = attach(optimizer, Quantile())
    second.load_state_dict(guard.state_dict())
    optimizer.step()
    assert second.steps == 2


def test_steps_without_gradients_are_left_alone() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=1.0)
    guard = attach(optimizer, MaxNorm(1.0))
    optimizer.step()
    assert (guard.last, guard.steps) == (None, 0)


def test_state_travels() -> None:
    def run(norms: range, saved: Any = None) -> Any:
        net = model()
        optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
        guard = attach(optimizer, Quantile(q=0.5), model=net)
        if saved:
            guard.load_state_dict(saved)
        for i in norms:
            backward(net, i)
            optimizer.step()
        return guard.state_dict()

    whole, half = run(range(20)), run(range(10))
    assert same(whole, run(range(10, 20), half))


def test_a_collected_optimizer_takes_its_guard_along() -> None:
    net = model()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(optimizer, MaxNorm(1.0))
    del optimizer
    gc.collect()
    second = torch.optim.SGD(net.parameters(), lr=0.1)
    attach(second, MaxNorm(1.0))


def test_only_a_torch_optimizer_will_do() -> None:
    with pytest.raises(BadInput, match="expected a torch optimizer, got Linear"):
        attach(model(), MaxNorm(1.0))  # type: ignore[arg-type]
