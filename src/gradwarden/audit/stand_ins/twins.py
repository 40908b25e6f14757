"""Soft twins of hard operations, by name; each takes the real output, a width and the arguments.

Arguments come as floats that carry a gradient where the real ones are booleans or whole numbers. A
twin returns a tensor of the real output's shape, of which only the slope counts, or None where it
has none to offer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

LEAK = 0.1  # slope of a clamp beyond its ends
Twin = Callable[..., Tensor | None]


def soft_any(func: Any, real: Tensor, given: Any, named: dict[str, Any]) -> Tensor | None:
    """`func` of the carriers: sums, shapes, casts and the like are the same for floats."""
    try:
        soft = func(*given, **named)
    except (RuntimeError, TypeError, IndexError):
        return None  # it takes booleans or whole numbers alone
    fits = isinstance(soft, Tensor) and soft.dtype.is_floating_point and soft.shape == real.shape
    return soft if fits else None


def _carries(*values: Any) -> bool:
    return any(isinstance(value, Tensor) and value.requires_grad for value in values)


def _compared(sign: int) -> Twin:
    """1 where the first is above (below, for -1) the second."""

    def twin(real: Tensor, width: float, one: Any, two: Any) -> Tensor | None:
        del real
        if not _carries(one, two):
            return None
        gap: Tensor = one - two
        return torch.sigmoid(sign * gap / width)

    return twin


def _equal(sign: int) -> Twin:
    """A bump, or for -1 a dip, of one width: no slope where both are equal, else back or away."""

    def twin(real: Tensor, width: float, one: Any, two: Any) -> Tensor | None:
        del real
        if not _carries(one, two):
            return None
        gap: Tensor = (one - two) / width
        return sign * torch.exp(-0.5 * gap.square())

    return twin


def _sign(real: Tensor, width: float, x: Tensor) -> Tensor | None:
    del real
    return torch.tanh(x / width) if _carries(x) else None


def _heaviside(real: Tensor, width: float, x: Tensor, values: Any) -> Tensor | None:
    del real, values
    return torch.sigmoid(x / width) if _carries(x) else None


def _itself(real: Tensor, width: float, x: Tensor, *rest: Any, **named: Any) -> Tensor | None:
    """Rounding, whatever the grid; a cast, or a copy, of values of any type."""
    del real, width, rest, named
    return x if _carries(x) else None


def _not(real: Tensor, width: float, one: Tensor) -> Tensor | None:
    del width
    return 1 - one if _carries(one) and real.dtype == torch.bool else None


def _both(real: Tensor, width: float, one: Any, two: Any) -> Tensor | None:
    del width
    product: Tensor = one * two
    return product if _carries(one, two) and real.dtype == torch.bool else None


def _either(real: Tensor, width: float, one: Any, two: Any) -> Tensor | None:
    del width
    if not _carries(one, two) or real.dtype != torch.bool:
        return None
    joint: Tensor = one + two - one * two
    return joint


def _unlike(real: Tensor, width: float, one: Any, two: Any) -> Tensor | None:
    del width
    if not _carries(one, two) or real.dtype != torch.bool:
        return None
    joint: Tensor = one + two - 2 * one * two
    return joint


def _where(real: Tensor, width: float, condition: Tensor, *ends: Any) -> Tensor | None:
    """The slope of the side that was taken, and that of the condition times what it decides."""
    del width
    if len(ends) != 2 or not _carries(condition):
        return None
    yes, no = (torch.as_tensor(end).to(real) for end in ends)
    gap = (yes - no).detach().nan_to_num(0.0, 0.0, 0.0)  # infinity decides, and leads nowhere
    own = torch.where(condition.detach() > 0.5, yes, no)
    return own + (condition - condition.detach()) * gap


def _masked_fill(real: Tensor, width: float, x: Tensor, mask: Tensor, value: Any) -> Tensor | None:
    return _where(real, width, mask, value, x)


def _clamped(real: Tensor, width: float, x: Tensor, *ends: Any, **named: Any) -> Tensor | None:
    """A tenth of the slope beyond the ends."""
    del width, ends, named
    if not _carries(x):
        return None
    if real.dtype.is_floating_point:
        return LEAK * x + (1 - LEAK) * real
    return x * torch.where(real == x.detach(), 1.0, LEAK)  # autograd has no slope to start from


def _bins(real: Tensor, width: float, edges: Tensor, x: Any, **named: Any) -> Tensor | None:
    """The index rises by one from the middle of a bin to the middle of the next."""
    del width, named
    if not _carries(x) or edges.shape[-1] < 2:
        return None
    gaps = edges.diff().clamp(min=1e-12)
    # Outer bins are as wide as their neighbours; edges may be given for each row.
    index = (real.long() - 1).clamp(0, gaps.shape[-1] - 1)
    width_here = gaps[index] if edges.ndim == 1 else gaps.gather(-1, index)
    moved: Tensor = (x - x.detach()) / width_here
    return real + moved


def _bucketize(real: Tensor, width: float, x: Any, edges: Tensor, **named: Any) -> Tensor | None:
    return _bins(real, width, edges, x, **named)


def _rows(index: Any, table: Tensor) -> Tensor | None:
    """table [K, ...] at index [...], with the slope between the rows next to it."""
    if not _carries(index):
        return None
    bare = index.detach().long()
    above, below = (bare + 1).clamp(max=len(table) - 1), (bare - 1).clamp(min=0)
    shape = (*bare.shape, *[1] * (table.ndim - 1))
    span = (above - below).clamp(min=1).view(shape)
    slope = (table[above] - table[below]).detach() / span
    moved: Tensor = (index - index.detach()).view(shape) * slope
    return table[bare] + moved


def _embedding(
    real: Tensor, width: float, index: Any, table: Tensor, *rest: Any, **named: Any
) -> Tensor | None:
    del real, width, rest, named
    return _rows(index, table)


def _getitem(real: Tensor, width: float, table: Tensor, index: Any) -> Tensor | None:
    """A look-up of rows by one tensor of whole numbers."""
    del real, width
    return _rows(index, table)


def _index_select(
    real: Tensor, width: float, table: Tensor, dim: int, index: Tensor
) -> Tensor | None:
    del real, width
    return _rows(index, table) if dim == 0 else None


def _one_hot(real: Tensor, width: float, index: Any, *rest: Any, **named: Any) -> Tensor | None:
    del width, rest, named
    return _rows(index, torch.eye(real.shape[-1], device=real.device))


def _argmax(
    real: Tensor, width: float, x: Any, dim: Any = None, keepdim: bool = False
) -> Tensor | None:
    """The mean index, weighted by a softmax of the values."""
    if dim is None or not _carries(x):
        return None
    at = torch.arange(x.shape[dim], dtype=x.dtype, device=x.device)
    at = at.view(*[-1 if d == dim % x.ndim else 1 for d in range(x.ndim)])
    del real
    share: Tensor = (x / width).softmax(dim)
    return (share * at).sum(dim, keepdim=keepdim)


TWINS: dict[str, Twin] = {
    **dict.fromkeys(("gt", "ge", "greater", "greater_equal"), _compared(1)),
    **dict.fromkeys(("lt", "le", "less", "less_equal"), _compared(-1)),
    "eq": _equal(1),
    "ne": _equal(-1),
    "not_equal": _equal(-1),
    **dict.fromkeys(("sign", "sgn"), _sign),
    "heaviside": _heaviside,
    **dict.fromkeys(("round", "floor", "ceil", "trunc", "fix"), _itself),
    **dict.fromkeys(("float", "double", "half", "to", "type", "type_as"), _itself),
    **dict.fromkeys(("int", "long", "short", "clone", "contiguous"), _itself),
    **dict.fromkeys(("logical_not", "invert", "bitwise_not"), _not),
    **dict.fromkeys(("logical_and", "and", "bitwise_and"), _both),
    **dict.fromkeys(("logical_or", "or", "bitwise_or"), _either),
    **dict.fromkeys(("logical_xor", "xor", "bitwise_xor"), _unlike),
    "where": _where,
    "masked_fill": _masked_fill,
    **dict.fromkeys(("clamp", "clip", "clamp_min", "clamp_max", "hardtanh"), _clamped),
    "searchsorted": _bins,
    "bucketize": _bucketize,
    "embedding": _embedding,
    "getitem": _getitem,
    "index_select": _index_select,
    "one_hot": _one_hot,
    "argmax": _argmax,
}
