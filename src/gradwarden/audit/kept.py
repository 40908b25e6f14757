"""A model that is the same after the audit as before, whatever it does to itself when it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gradwarden.attack.inputs import check_width
from gradwarden.audit.case import watchable

PLAIN = (bool, int, float, str, bytes, type(None))


@contextmanager
def kept(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """Yields copies of every weight and buffer, by name; the state is put back at the end.

    That is weights, buffers, which of them take a gradient, their gradients, modes, and attributes
    that are plain values. Nothing else that a forward keeps in Python is put back.
    """
    held = dict(_tensors(model))
    before = {name: tensor.detach().clone() for name, tensor in held.items()}
    flags = {name: (tensor.requires_grad, tensor.grad) for name, tensor in held.items()}
    grads = {name: grad.clone() for name, (_, grad) in flags.items() if grad is not None}
    values = {path: _plain(module) for path, module in model.named_modules()}
    try:
        yield before
    finally:
        with torch.no_grad():
            _put_back(model, held, before)
            for name, (flag, grad) in flags.items():
                if held[name].requires_grad != flag:
                    held[name].requires_grad_(flag)
                if grad is not None:
                    grad.copy_(grads[name])
                if held[name].is_leaf and held[name].grad is not grad:
                    held[name].grad = grad
        for path, module in model.named_modules():
            vars(module).update(values.get(path, {}))


@contextmanager
def same_width(model: nn.Module, classes: int) -> Iterator[None]:
    """Within, an answer that is no logits [N, classes] raises BadInput.

    Compiled code (`torch.jit`) takes no hook and goes unwatched.
    """
    if not watchable(model):
        yield
        return
    handle = model.register_forward_hook(lambda _, given, out: check_width(out, classes))
    try:
        yield
    finally:
        handle.remove()


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if not is_lazy(tensor):
            yield name, tensor


def _plain(module: nn.Module) -> dict[str, Any]:
    return {name: value for name, value in vars(module).items() if isinstance(value, PLAIN)}


def _put_back(model: nn.Module, held: dict[str, Tensor], before: dict[str, Tensor]) -> None:
    for name, tensor in held.items():
        if not torch.equal(tensor, before[name]):
            tensor.copy_(before[name])
    modules = dict(model.named_modules())
    for name, _ in list(_tensors(model)):
        path, _, own = name.rpartition(".")
        module = modules[path]
        for places in (module._parameters, module._buffers):
            if not isinstance(places, dict) or own not in places:  # compiled code has no dict
                continue
            if name not in held:
                del places[own]
            elif places[own] is not held[name]:  # a forward put another in its place
                places[own] = held[name]
