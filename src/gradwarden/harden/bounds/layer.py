"""What every layer of a network can do for a bound, and the layers that are linear.

Source: Zhang et al. 2018 (CROWN), arXiv:1811.00866, sec. 3; Gowal et al. 2018, arXiv:1810.12715,
sec. 3 (intervals).
Differs: rows are pulled back by products with the transpose, so a convolution is never a matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Interval(NamedTuple):
    """Where a value lies, element by element: low, high [N, ...]."""

    low: Tensor
    high: Tensor


class Back(NamedTuple):
    """rows . output >= sum over inputs of (rows . input) + offset, wherever the inputs may lie."""

    rows: tuple[Tensor, ...]  # one for each input: [B, R, ...], B is 1 or N
    offset: Tensor  # [B, R]


class Layer(Protocol):
    """A function of one or more values, sample by sample."""

    @property
    def linear(self) -> bool:
        """Whether `back` is exact and needs no interval."""
        ...

    def interval(self, *inputs: Interval) -> Interval:
        """Where the output lies."""
        ...

    def back(self, rows: Tensor, *inputs: Interval) -> Back:
        """rows [B, R, ...] of the output, bounded from below by rows of the inputs."""
        ...


@dataclass(frozen=True, kw_only=True, eq=False)
class Affine:
    """`apply` is linear plus a constant; `absolute` is its linear part with absolute weights.

    `adjoint` of (rows [M, ...] of the output, an input) pulls rows back; None: autograd does.
    """

    apply: Callable[[Tensor], Tensor]
    absolute: Callable[[Tensor], Tensor]
    adjoint: Callable[[Tensor, Tensor], Tensor] | None = None
    linear = True

    def interval(self, *inputs: Interval) -> Interval:
        ((low, high),) = inputs
        middle, spread = self.apply((low + high) / 2), self.absolute((high - low) / 2)
        return Interval(middle - spread, middle + spread)

    def back(self, rows: Tensor, *inputs: Interval) -> Back:
        ((low, _),) = inputs
        if self.adjoint is None:
            pulled = pull(self.apply, rows, low)
        else:
            pulled = self.adjoint(rows.flatten(0, 1), low).unflatten(0, rows.shape[:2])
        with torch.no_grad():
            constant = self.apply(torch.zeros_like(low[:1]))
        return Back((pulled,), dot(rows, constant))


@dataclass(frozen=True, kw_only=True)
class Weighted:
    """A sum of values of one shape with `weights`."""

    weights: tuple[float, ...]
    linear = True

    def interval(self, *inputs: Interval) -> Interval:
        low = high = torch.zeros_like(inputs[0].low)
        for weight, (below, above) in zip(self.weights, inputs, strict=True):
            ends = (weight * below, weight * above)
            low, high = low + torch.minimum(*ends), high + torch.maximum(*ends)
        return Interval(low, high)

    def back(self, rows: Tensor, *inputs: Interval) -> Back:
        del inputs
        return Back(tuple(weight * rows for weight in self.weights), rows.new_zeros(1, 1))


def pull(apply: Callable[[Tensor], Tensor], rows: Tensor, like: Tensor) -> Tensor:
    """The vector-Jacobian products of rows [B, R, ...] at 0 -> [B, R, *shape of like's samples]."""
    flat = rows.flatten(0, 1)
    with torch.enable_grad():
        at = like.new_zeros(len(flat), *like.shape[1:], requires_grad=True)
        (pulled,) = torch.autograd.grad(apply(at), at, flat)
    found: Tensor = pulled.unflatten(0, rows.shape[:2])
    return found


def dot(rows: Tensor, value: Tensor) -> Tensor:
    """rows [B, R, ...] with value [N, ...] -> [B or N, R]."""
    rows, value = rows.flatten(2), value.flatten(1)
    if len(rows) == 1:  # as one product: a batched one would copy the rows for each sample
        return value @ rows[0].T
    return (rows @ value[:, :, None])[:, :, 0]


def least(rows: Tensor, interval: Interval) -> Tensor:
    """[N, R] the least of rows [B, R, ...] . value where the value lies in the interval."""
    return dot(rows.clamp(min=0), interval.low) + dot(rows.clamp(max=0), interval.high)
