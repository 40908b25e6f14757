"""Which layer a torch module is."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.grad import conv1d_input, conv2d_input

from gradwarden.core.errors import BadInput
from gradwarden.harden.bounds.activation import GELU, SIGMOID, TANH, Activation, Leaky
from gradwarden.harden.bounds.layer import Affine, Layer
from gradwarden.harden.bounds.max_pool import MaxPool

SAME = (nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d)
MEANS = (nn.AvgPool1d, nn.AvgPool2d, nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d)
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d)
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def layer_of(module: nn.Module, name: str) -> Layer:
    """`name` is for messages. A subclass is unknown: its forward may be another."""
    kind = type(module)
    if kind in (*SAME, *MEANS):
        return Affine(apply=module, absolute=module)
    if isinstance(module, nn.Flatten) and module.start_dim >= 1:
        return Affine(apply=module, absolute=module)
    if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d) and kind in WEIGHTED:
        return Affine(apply=module, absolute=_absolute(module), adjoint=_adjoint(module))
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and kind in NORMS:
        return _normed(module, name)
    if isinstance(module, nn.MaxPool1d | nn.MaxPool2d):
        return _pooled(module, name)
    if kind is nn.ReLU:
        return Activation(Leaky(0.0))
    if isinstance(module, nn.LeakyReLU) and 0.0 <= module.negative_slope <= 1.0:
        return Activation(Leaky(module.negative_slope))
    if kind is nn.Sigmoid:
        return Activation(SIGMOID)
    if kind is nn.Tanh:
        return Activation(TANH)
    if isinstance(module, nn.GELU) and module.approximate == "none":
        return Activation(GELU())
    raise BadInput(f"certificates do not know the module {module!r} at {name or 'the top'!r}")


def _absolute(module: nn.Module) -> Callable[[Tensor], Tensor]:
    twin = copy.deepcopy(module)
    with torch.no_grad():
        for name, value in twin.named_parameters():
            value.abs_() if name == "weight" else value.zero_()
    return twin


def _adjoint(
    module: nn.Linear | nn.Conv1d | nn.Conv2d,
) -> Callable[[Tensor, Tensor], Tensor] | None:
    """Without the forward that autograd would need; None for a padding that is not of zeros."""
    if isinstance(module, nn.Linear):
        return lambda rows, like: rows @ module.weight
    if module.padding_mode != "zeros" or isinstance(module.padding, str):
        return None

    def pulled(rows: Tensor, like: Tensor) -> Tensor:
        size, rows = (len(rows), *like.shape[1:]), rows.contiguous()
        options = (module.stride, module.padding, module.dilation, module.groups)
        if isinstance(module, nn.Conv2d):
            found: Tensor = conv2d_input(size, module.weight, rows, *options)
        else:
            found = conv1d_input(size, module.weight, rows, *options)
        return found

    return pulled


def _normed(module: nn.BatchNorm1d | nn.BatchNorm2d, name: str) -> Layer:
    if module.running_var is None:
        raise BadInput(f"batch norm at {name!r} has no running averages: its answers are coupled")
    scale = (module.running_var + module.eps).rsqrt()
    scale = (scale if module.weight is None else scale * module.weight).detach().abs()
    return Affine(apply=module, absolute=lambda x: x * scale.view(-1, *[1] * (x.ndim - 2)))


def _pooled(module: nn.MaxPool1d | nn.MaxPool2d, name: str) -> Layer:
    axes = 1 if isinstance(module, nn.MaxPool1d) else 2
    if module.ceil_mode or module.return_indices or _each(module.dilation, axes) != (1,) * axes:
        raise BadInput(f"certificates know max pooling without dilation or ceil_mode, at {name!r}")
    return MaxPool(
        _each(module.kernel_size, axes), _each(module.stride, axes), _each(module.padding, axes)
    )


def _each(value: int | tuple[int, ...], axes: int) -> tuple[int, ...]:
    return (value,) * axes if isinstance(value, int) else tuple(value)
