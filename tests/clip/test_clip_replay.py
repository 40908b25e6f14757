"""A fault planted in a known module is found there, forward and backward."""

import copy
import math
import random
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradwarden.clip.attach import attach
from gradwarden.clip.dump import Dump, Pass, write_dump
from gradwarden.clip.dumper import rng_now
from gradwarden.clip.faults import Faults
from gradwarden.clip.record import Header
from gradwarden.clip.replay import Replayed, replay
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.core.errors import BadInput

pytest.importorskip("safetensors")


def as_is(x: Tensor) -> Tensor:
    return x


class Does(nn.Module):
    """`change` with a parameter of its own, so that it is on the path of the gradient."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.change(x * self.gain) + 0.0  # ReLU must not write over what sqrt keeps


class Net(nn.Module):
    """first -> body.inner -> last, each a place for a fault."""

    def __init__(self, **change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.between = change.get("between", as_is)
        self.first = Does(change.get("first", as_is))
        self.body = nn.Sequential()
        self.body.add_module("inner", Does(change.get("inner", as_is)))
        self.body.add_module("rest", nn.ReLU(inplace=True))
        self.same = nn.Identity()
        self.last = Does(change.get("last", as_is))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.between(self.same(self.body(self.first(x)))))
        return out


def mean(model: nn.Module, batch: Any) -> Tensor:
    loss: Tensor = model(batch["x"]).mean() + batch.get("y", torch.zeros(())).mean()
    return loss


def dumped(path: Path, model: nn.Module, *batches: Any, scale: float = 1.0) -> Path:
    return written(
        path, model, *(Pass(batch, None, rng_now([]), {}) for batch in batches), scale=scale
    )


def written(path: Path, model: nn.Module, *passes: Pass, scale: float = 1.0) -> Path:
    dump = Dump(
        step=7,
        header=Header("", "", "", ()),
        culprits=(),
        scale=scale,
        training=tuple(n for n, m in model.named_modules() if m.training),
        weights=dict(model.named_parameters()) | dict(model.named_buffers()),
        passes=passes,
        tail=(),
        environment={},
    )
    write_dump(dump, path / "step-7")
    return path / "step-7"


def at(path: Path, net: nn.Module, x: Tensor, loss: Any = mean, **more: Tensor) -> Replayed:
    return replay(dumped(path, net, {"x": x, **more}), net, loss)


X = torch.tensor([0.5, 0.0, 2.0])
NAN = torch.tensor([1.0, math.nan])


@pytest.mark.parametrize("place", ["first", "inner", "last"])
@pytest.mark.parametrize(
    "fault",
    [torch.log, lambda x: 1.0 / x, lambda x: x / x],
    ids=["log of 0", "1 over 0", "0 over 0"],
)
def test_log_and_division_of_zero_forward(
    tmp_path: Path, place: str, fault: Callable[[Tensor], Tensor]
) -> None:
    found = at(tmp_path, Net(**{place: fault}), X)
    assert (found.phase, found.module) == ("forward", {"inner": "body.inner"}.get(place, place))
    assert found.kind == "Does"
    assert "1 NaN" in found.why or "1 infinite" in found.why
    assert "of 3 values, from inputs in [0, 2]" in found.why


def test_what_a_module_computes_outside_of_its_submodules_forward(tmp_path: Path) -> None:
    found = at(tmp_path, Net(between=torch.log), X)
    assert (found.phase, found.module, found.kind) == ("forward", "", "Net")
    assert found.why == "it computes 1 infinite of 3 values outside of its submodules, for last"


@pytest.mark.parametrize("place", ["first", "inner", "last"])
def test_overflow_in_backward_only(tmp_path: Path, place: str) -> None:
    """Finite forward, but the gradient of the gain is sqrt's at zero: infinite, then NaN."""
    found = at(tmp_path, Net(**{place: torch.sqrt}), X)
    assert (found.phase, found.module) == ("backward", {"inner": "body.inner"}.get(place, place))


def test_large_factors_overflow_backward_only(tmp_path: Path) -> None:
    tiny = torch.full((2,), 1e-40)
    found = at(tmp_path, Net(first=lambda x: x * 1e30, inner=lambda x: x * 1e30), tiny)
    assert (found.phase, found.module) == ("backward", "first")
    assert "infinite" in found.why


def test_what_a_module_computes_outside_of_its_submodules_backward(tmp_path: Path) -> None:
    found = at(tmp_path, Net(between=torch.sqrt), X)
    assert (found.phase, found.module) == ("backward", "")
    assert "from the output of same" in found.why


def test_of_two_that_take_the_same_tensor_the_one_at_fault_is_found(tmp_path: Path) -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.good, self.bad = (
                Does(as_is),
                Does(as_is),
                Does(torch.sqrt),
            )
            self.also_good = Does(as_is)

        def forward(self, x: Tensor) -> Tensor:
            h = self.stem(x)
            out: Tensor = self.good(h) + self.bad(h) + self.also_good(h)
            return out

    assert at(tmp_path, Fork(), X).module == "bad"


def test_nan_in_the_batch(tmp_path: Path) -> None:
    found = at(tmp_path, Net(), NAN)
    assert (found.phase, found.module) == ("input", None)
    assert found.why == "the batch is not finite: the model is given 1 NaN of 2 values"


def test_nan_in_the_target(tmp_path: Path) -> None:
    found = at(tmp_path, Net(), X, y=NAN)
    assert (found.phase, found.module) == ("loss", None)
    assert "a value of the batch is not" in found.why


def test_nan_weights(tmp_path: Path) -> None:
    net = Net()
    with torch.no_grad():
        net.body.inner.gain.fill_(math.nan)  # type: ignore[union-attr, operator]
    found = at(tmp_path, net, X)
    assert (found.phase, found.module) == ("forward", "body.inner")
    assert found.why.endswith("its gain is not finite")


def test_the_loss_functions_own_fault(tmp_path: Path) -> None:
    def forward(model: nn.Module, batch: Any) -> Tensor:
        return model(batch["x"]).log().mean()  # type: ignore[no-any-return]

    def backward(model: nn.Module, batch: Any) -> Tensor:
        return model(batch["x"]).sqrt().mean()  # type: ignore[no-any-return]

    def before(model: nn.Module, batch: Any) -> Tensor:
        return model(1 / batch["x"]).mean()  # type: ignore[no-any-return]

    for loss in (forward, backward, before):
        found = at(tmp_path / loss.__name__, Net(), X, loss)
        assert (found.phase, found.module) == ("loss", None), loss


def test_minus_infinity_in_a_mask_is_no_fault(tmp_path: Path) -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.score = Does(as_is)
            self.soft = nn.Softmax(0)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.soft(self.score(x) + torch.tensor([0.0, -math.inf, 0.0]))
            return out

    assert at(tmp_path, Masked(), X).phase is None


def test_nothing_found(tmp_path: Path) -> None:
    found = at(tmp_path, Net(), X)
    assert (found.phase, found.module, found.kind) == (None, None, "")
    assert found.losses == (X.mean().item(),)
    assert found.notes == ()


def test_gradient_accumulation_finds_the_pass_at_fault(tmp_path: Path) -> None:
    net = Net(inner=torch.log)
    path = dumped(tmp_path, net, {"x": X + 1}, {"x": X + 2}, {"x": X}, {"x": X + 1})
    found = replay(path, net, mean)
    assert found.module == "body.inner"
    assert len(found.losses) == 3


def test_the_scale_of_a_scaler_counts(tmp_path: Path) -> None:
    net = Net().half()
    x = {"x": torch.ones(1, dtype=torch.float16)}
    assert replay(dumped(tmp_path / "a", net, x), Net(), mean).phase is None
    found = replay(dumped(tmp_path / "b", net, x, scale=2.0**17), Net(), mean)
    assert (found.phase, found.module) == ("loss", None)


def test_modules_are_in_the_mode_that_they_were_in(tmp_path: Path) -> None:
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Linear(2, 1))
    net[0].eval()
    with torch.no_grad():
        net[0].running_mean.fill_(math.nan)  # type: ignore[operator]
    path = dumped(tmp_path / "eval", net, {"x": torch.randn(4, 2)})
    found = replay(path, copy.deepcopy(net).train(), mean)
    assert (found.module, found.why.split(": ")[1]) == ("0", "its running_mean is not finite")
    path = dumped(tmp_path / "train", net.train(), {"x": torch.randn(4, 2)})
    assert replay(path, copy.deepcopy(net).eval(), mean).phase is None


def test_dropout_draws_what_it_drew_and_the_callers_draws_go_on(tmp_path: Path) -> None:
    """The fault needs the very draws of the run, of torch, python and numpy."""
    torch.manual_seed(0)
    wanted: list[float] = []

    def draws(x: Tensor) -> Tensor:
        seen = float(torch.rand(())) + random.random() + float(np.random.rand())
        wanted.append(seen)
        return x / 0.0 if seen == wanted[0] else x

    net = Net(inner=draws)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    guard = attach(optimizer, MaxNorm(1.0), model=net, dump=tmp_path)
    loss = mean(net, {"x": X})
    loss.backward()
    guard.observe(loss, {"x": X})
    optimizer.step()
    guard.detach()
    before = torch.get_rng_state(), random.getstate(), np.random.rand()
    found = replay(tmp_path / "step-1", net, mean)
    assert (found.module, found.notes) == ("body.inner", ())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


def test_a_loss_that_differs_is_noted(tmp_path: Path) -> None:
    net = Net()
    path = written(tmp_path, net, Pass({"x": X}, 3.0, None, {}))
    assert replay(path, net, mean).notes == (
        "no random states in the dump: call the model as a module, model(x)",
        "the loss was 3 in the run and is 0.833333 now",
    )


def test_autocast_is_as_it_was(tmp_path: Path) -> None:
    net = nn.Linear(2, 2)
    path = written(tmp_path, net, Pass({"x": torch.ones(2)}, None, None, {"cpu": "bfloat16"}))
    seen = []

    def loss(model: nn.Module, batch: Any) -> Tensor:
        out = model(batch["x"])
        seen.append(out.dtype)
        return out.float().sum()  # type: ignore[no-any-return]

    replay(path, net, loss)
    assert seen == [torch.bfloat16]


def fails(model: nn.Module, batch: Any) -> Tensor:
    raise KeyError("labels")


@pytest.mark.parametrize(
    ("loss", "sentence"),
    [
        (fails, "the loss function raised KeyError: 'labels'"),
        (lambda m, b: 3.0, "must return a scalar tensor that requires a gradient, got 3.0"),
        (lambda m, b: m(b["x"]), r"requires a gradient, got a tensor of shape \(3,\)"),
        (lambda m, b: torch.ones(()), "requires a gradient, got a tensor of shape"),
    ],
)
def test_a_loss_function_that_does_not_fit(tmp_path: Path, loss: Any, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        at(tmp_path, Net(), X, loss)


def test_a_model_that_does_not_fit(tmp_path: Path) -> None:
    path = dumped(tmp_path, Net(), {"x": X})
    with pytest.raises(BadInput, match="the model is not that of the dump: 2 of its tensors"):
        replay(path, nn.Linear(2, 2), mean)
    path = dumped(tmp_path / "shape", nn.Linear(2, 2), {"x": X})
    with pytest.raises(BadInput, match=r"weight has shape \(2, 3\), expected \(2, 2\)"):
        replay(path, nn.Linear(3, 2), mean)


def test_a_dump_without_a_batch(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no batch: call guard.observe\(loss, batch=...\)"):
        replay(dumped(tmp_path, Net()), Net(), mean)


class Nested(nn.Module):
    """Containers, one tensor several times, in place on what a module gave."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.linear = nn.LayerNorm(4), nn.Linear(4, 4)
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.relu = nn.ReLU(inplace=True)
        self.lstm = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        h = self.attention(h, h, h)[0]
        y = self.relu(self.linear(h))
        z: Tensor = self.linear(self.lstm(y)[0])
        z += y
        left, right = self.linear(z).chunk(2, -1)
        out: Tensor = left * right
        return out


def test_watching_changes_no_gradient() -> None:
    torch.manual_seed(0)
    net = Nested()
    twin, x = copy.deepcopy(net), torch.randn(2, 3, 4)
    net(x).square().sum().backward()
    with Faults(twin, x) as faults:
        twin(x).square().sum().backward()
    assert faults.first is None
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert a.grad is not None
        assert b.grad is not None
        assert torch.equal(a.grad, b.grad)


def test_the_hooks_are_gone_afterwards(tmp_path: Path) -> None:
    net = Net()
    at(tmp_path, net, X)
    hooks = [m._forward_hooks or m._forward_pre_hooks for m in net.modules()]
    assert not any(hooks)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net(NAN).sum().backward()
