"""Finds the last linear layer of any module: the one whose output determines the logits.

By experiment, so that functional code, patches and a cut gradient make no difference: the layers
are tried from the last called one backwards, and what is put in place of an output must show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.audit.case import quiet
from gradwarden.core.draws import seed_of

Replace = Callable[[Tensor, Tensor], Tensor]  # features [N, F], output -> what stands in for it


class Head(NamedTuple):
    """Where the last linear layer is, or why there is none to be used."""

    path: str | None  # dotted
    why: str = ""  # one clause; "" where there is one
    columns: int = 0  # of its output: the classes, or 1 of a model with a single logit
    features: int = 0


class _Call(NamedTuple):
    path: str
    times: int
    given: Tensor
    output: Tensor


def find_head(model: nn.Module, x: Tensor, *, seed: int = 0) -> Head:
    """The head of `model`, in eval mode, from its answers to x [N, ...]; a few samples will do."""
    logits, calls = _calls(model, x, seed)
    for call in reversed(calls):
        if _matters(model, x, call.path, logits, seed):
            return _judged(model, x, call, seed)
    return Head(None, "no linear layer was called whose output changes the logits")


class _Hook:
    """An object, so that a copy of the model calls the copy of what `replace` belongs to."""

    def __init__(self, replace: Replace) -> None:
        self.replace = replace

    def __call__(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
    ) -> Tensor:
        del module
        return self.replace(_given(args, kwargs).flatten(1), out)


@contextmanager
def replaced(model: nn.Module, path: str, replace: Replace) -> Iterator[None]:
    """Within, `replace` says what the linear layer at `path` returns."""
    layer = model.get_submodule(path)
    handle = layer.register_forward_hook(_Hook(replace), with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _given(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    given: Tensor = args[0] if args else kwargs["input"]
    return given


def _linear(module: nn.Module) -> bool:
    """A map of the features of one place: dense, or a convolution that looks at one pixel."""
    if isinstance(module, nn.Conv1d | nn.Conv2d):
        return module.groups == 1 and set(module.kernel_size) == {1}
    return isinstance(module, nn.Linear)


def _calls(model: nn.Module, x: Tensor, seed: int) -> tuple[Tensor, list[_Call]]:
    """The logits, and the linear layers in the order of their last calls."""
    found: dict[str, _Call] = {}
    handles = []

    def watch(path: str, module: nn.Module) -> None:
        def after(module: nn.Module, args: Any, kwargs: Any, out: Tensor) -> None:
            del module
            times = found.pop(path).times if path in found else 0
            found[path] = _Call(path, times + 1, _given(args, kwargs), out)

        handles.append(module.register_forward_hook(after, with_kwargs=True))

    for path, module in model.named_modules():
        if _linear(module):
            watch(path, module)
    try:
        with torch.no_grad(), quiet(x, seed):
            return model(x.clone()), list(found.values())
    finally:
        for handle in handles:
            handle.remove()


def _answer(model: nn.Module, x: Tensor, path: str, replace: Replace, seed: int) -> Tensor:
    with torch.no_grad(), quiet(x, seed), replaced(model, path, replace):
        logits: Tensor = model(x.clone())
    return logits


def _matters(model: nn.Module, x: Tensor, path: str, logits: Tensor, seed: int) -> bool:
    try:
        return not torch.equal(_answer(model, x, path, _shifted, seed), logits)
    except (RuntimeError, IndexError, ValueError):
        return True  # what follows refuses such values, so it uses them


def _shifted(features: Tensor, out: Tensor) -> Tensor:
    """Far off, and to another side in every column."""
    del features
    size = 1 + out.abs().amax()
    signs = torch.arange(out.shape[-1] if out.ndim == 2 else out.shape[1], device=out.device) % 2
    return out + size * (2 * signs - 1).to(out).view(-1, *[1] * (out.ndim - 2))


def _judged(model: nn.Module, x: Tensor, call: _Call, seed: int) -> Head:
    path, given, out = call.path, call.given, call.output
    if call.times > 1:
        return Head(None, f"the last linear layer, {path!r}, is called {call.times} times")
    if given.ndim < 2 or len(given) != len(x) or given[0].numel() != given.shape[1]:
        shape = list(given.shape)
        return Head(None, f"the last linear layer, {path!r}, takes {shape}, not one row a sample")
    if not _decides(model, x, call, seed):
        return Head(None, f"what follows {path!r} decides too: its output is not the logits")
    return Head(path, "", out.shape[1], given.shape[1])


def _decides(model: nn.Module, x: Tensor, call: _Call, seed: int) -> bool:
    """Whether logits put in place of the output, two a sample, are those that come out.

    So may whatever keeps their order: a softmax, a temperature, rounding.
    """
    generator = torch.Generator().manual_seed(seed_of(seed, "head"))
    side = torch.randint(0, 2, (len(x),), generator=generator).to(x.device)
    side[0] = 0
    side[-1] = 1
    for swap in (side, 1 - side):

        def put(features: Tensor, out: Tensor, swap: Tensor = swap) -> Tensor:
            del features
            return pair((2 * swap - 1).to(out) * 2 * (1 + out.abs().amax()), out)

        try:
            logits = _answer(model, x, call.path, put, seed)
        except (RuntimeError, IndexError, ValueError):
            return False  # what follows wants the classes' own number of columns
        if logits.shape != (len(x), 2) or not torch.equal(logits.argmax(1), swap):
            return False
    return True


def pair(difference: Tensor, out: Tensor) -> Tensor:
    """difference [N] of class 1 against class 0 -> logits in the form of `out` [N, columns, ...].

    Two columns, or one where `out` has a single logit.
    """
    half = difference / 2
    columns = difference[:, None] if out.shape[1] == 1 else torch.stack([-half, half], 1)
    return columns.view(*columns.shape, *[1] * (out.ndim - 2)).to(out.dtype)
