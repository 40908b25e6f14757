"""Changing gradients in place: one coefficient for all, one a tensor, or a bound on each element."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradwarden.clip.norm import plain


def scale(params: Sequence[Tensor], coefficient: Tensor | float) -> None:
    """Multiplies every gradient by `coefficient`, [] or a number."""
    grads = [p.grad for p in params if p.grad is not None]
    if not plain(grads):
        odd = [p for p in params if p.grad is not None and not _in_place(p.grad)]
        grads = [g for g in grads if _in_place(g)]
        for p in odd:
            _scale_one(p, coefficient)
    if not isinstance(coefficient, Tensor):
        torch._foreach_mul_(grads, coefficient)
        return
    for device in {g.device for g in grads}:
        group = [g for g in grads if g.device == device]
        torch._foreach_mul_(group, coefficient.to(device))


def scale_each(params: Sequence[Tensor], coefficients: Sequence[Tensor]) -> None:
    """Multiplies the gradient of each parameter by its own coefficient, [] or shaped to fit."""
    for p, c in zip(params, coefficients, strict=True):
        assert p.grad is not None
        _scale_one(p, c)


def along(values: Tensor, p: Tensor, axis: int) -> Tensor:
    """One value a unit of `p`, shaped so that it broadcasts to `p`."""
    shape = [1] * p.ndim
    shape[axis] = -1
    return values.view(shape)


def bound(params: Sequence[Tensor], thresholds: Sequence[Tensor]) -> None:
    """Elements of a modulus above the threshold [] of their tensor are scaled down to it."""
    for p, t in zip(params, thresholds, strict=True):
        values, t = _writable(p), t.to(p.device)
        if values.is_complex():
            modulus = values.abs()
            values.mul_(torch.where(modulus > t, t / modulus, torch.ones_like(modulus)))
        else:
            t = t.to(values.dtype)
            torch.clamp(values, -t, t, out=values)


def wipe(params: Sequence[Tensor], where: Tensor) -> None:
    """Zeroes every gradient if `where` [] bool is True; no value is read."""
    for p in params:
        _writable(p).masked_fill_(where.to(p.device), 0.0)


def overlaps(grad: Tensor) -> bool:
    """Several elements share memory, as in an expanded tensor: it cannot be changed in place."""
    if grad.layout is not torch.strided or grad.is_contiguous():
        return False
    return any(step == 0 and size > 1 for step, size in zip(grad.stride(), grad.shape, strict=True))


def _in_place(grad: Tensor) -> bool:
    return grad.layout is torch.strided and not overlaps(grad)


def _scale_one(p: Tensor, coefficient: Tensor | float) -> None:
    assert p.grad is not None
    c = coefficient.to(p.grad.device) if isinstance(coefficient, Tensor) else coefficient
    if overlaps(p.grad):
        p.grad = p.grad * c
    else:
        p.grad.mul_(c)


def _writable(p: Tensor) -> Tensor:
    """The elements of the gradient, after a copy where they cannot be changed in place."""
    assert p.grad is not None
    if overlaps(p.grad):
        p.grad = p.grad.clone()
    if p.grad.layout is torch.strided:
        return p.grad
    if p.grad.layout is torch.sparse_coo:  # duplicate entries add up to one element
        p.grad = p.grad.coalesce()
    return p.grad.values()
