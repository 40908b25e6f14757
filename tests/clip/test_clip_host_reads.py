"""No step on an accelerator waits for the device: fake cuda tensors, every dispatched op is seen.

FakeTensorMode alone lets copies to the CPU through.
"""

from collections.abc import Callable
from operator import methodcaller
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gradwarden.clip.attach import attach
from gradwarden.clip.clipper import Clipper
from gradwarden.clip.rule import Rule
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.clip.rules.zscore import ZScore

aten = torch.ops.aten
READS = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal}
COPIES = {aten._to_copy, aten.copy_}
RULES: list[Rule[Any]] = [
    MaxNorm(1.0),
    MaxNorm(1.0, p=3.0, scope="tensor"),
    MaxValue(1.0),
    Quantile(window=7),
    Quantile(scope="tensor"),
    ZScore(),
    ZScore(reference=True),
]


class HostRead(Exception):
    """The host asked for the value of an accelerator's tensor."""


def device_types(tree: object) -> set[str]:
    return {leaf.device.type for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)}


class NoHostReads(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        op, before = func.overloadpacket, device_types((args, kwargs))
        if op in READS and "cuda" in before:
            raise HostRead(op)
        out = func(*args, **(kwargs or {}))
        if op in COPIES and "cuda" in before and device_types(out) == {"cpu"}:
            raise HostRead(op)
        return out


def parameters(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for n in (7, 100_000):
        found[str(n)] = nn.Parameter(torch.ones(n, device="cuda", dtype=dtype))
        found[str(n)].grad = torch.ones(n, device="cuda", dtype=dtype)
    found["no gradient"] = nn.Parameter(torch.ones(3, device="cuda", dtype=dtype))
    return found


def step_on_cuda(rule: Rule[Any], on_nonfinite: Any, dtype: torch.dtype = torch.float32) -> None:
    with FakeTensorMode(), NoHostReads():  # type: ignore[no-untyped-call]
        params = parameters(dtype)
        clipper = Clipper(params.items(), rule, on_nonfinite=on_nonfinite)
        for _ in range(2):
            for p in params.values():
                p.grad = None if p.grad is None else p.grad.clone()
            result = clipper.step()
    assert result.norm.device.type == "cuda"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("on_nonfinite", ["zero", "keep"])
def test_a_step_reads_nothing(rule: Rule[Any], on_nonfinite: str, dtype: torch.dtype) -> None:
    step_on_cuda(rule, on_nonfinite, dtype)


@pytest.mark.parametrize("on_nonfinite", ["skip", "raise"])
def test_these_policies_read_one_flag(on_nonfinite: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answered with True, nothing else is read: so it is the only one."""
    read: list[Tensor] = []

    def answer(self: Tensor) -> bool:
        if self.device.type == "cuda":
            read.append(self)
        return True

    with pytest.raises(HostRead):
        step_on_cuda(MaxNorm(1.0), on_nonfinite)
    monkeypatch.setattr(torch._subclasses.fake_tensor.FakeTensor, "__bool__", answer, raising=False)
    step_on_cuda(MaxNorm(1.0), on_nonfinite)
    assert [(t.shape, t.dtype) for t in read] == [(torch.Size([]), torch.bool)] * 2


def test_attached_reads_nothing() -> None:
    with FakeTensorMode(), NoHostReads():  # type: ignore[no-untyped-call]
        optimizer = torch.optim.SGD(list(parameters().values()), lr=0.1, foreach=True)
        attach(optimizer, ZScore(), on_nonfinite="zero")
        optimizer.step()


def copy_to_host(norm: Tensor) -> Tensor:
    return torch.empty(()).copy_(norm)


@pytest.mark.parametrize(
    "read",
    [bool, methodcaller("tolist"), methodcaller("cpu"), copy_to_host],
    ids=["bool", "tolist", "cpu", "copy_"],
)
def test_a_planted_read_is_caught(
    read: Callable[[Tensor], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Quantile, "step", lambda rule, seen, state: read(seen.total))
    with pytest.raises(HostRead):
        step_on_cuda(Quantile(), "zero")
