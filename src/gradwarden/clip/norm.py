"""Norms of many tensors in one read: rows of 4096 elements in float32, the rest in float64.

Source: torch.nn.utils.get_total_norm.
Differs: float32 at the least whatever the dtype of the gradients, and no long float32 sum. On the
CPU torch adds up a whole tensor in a few float32 lanes and is 1 % off at 1e8 elements. Sparse and
complex gradients are measured too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import NamedTuple

import torch
from torch import Tensor

_DTYPE_OF = attrgetter("dtype")
ROW = 4096  # elements; at 16384 a constant tensor is already 1e-5 off


class Powers(NamedTuple):
    """p-th powers of partial norms (for p = inf: the partial norms), in float64."""

    sums: Tensor  # [C]
    owners: tuple[tuple[int, int], ...]  # in the order of `sums`: (which tensor, how many sums)
    many: int  # T, the number of tensors
    p: float

    def total(self) -> Tensor:
        """Norm of all tensors together, [] float64."""
        if self.p == math.inf:
            return self.sums.amax()
        return self.sums.sum().sqrt() if self.p == 2.0 else self.sums.sum() ** (1 / self.p)

    def parts(self) -> Tensor:
        """The partial norms [C] float64."""
        return self.sums if self.p == math.inf else self.sums ** (1 / self.p)

    def over(self, scale: Tensor) -> Powers:
        """The powers of the tensors divided by `scale` []."""
        return self._replace(sums=self.sums / (scale if self.p == math.inf else scale**self.p))

    def tensors(self) -> Tensor:
        """Norm of each tensor, [T] float64."""
        parts = self.sums
        if self.owners:
            which, many = torch.tensor(self.owners).unbind(1)
            owner = which.repeat_interleave(many, output_size=len(parts)).to(parts.device)
            parts = parts.new_zeros(self.many).scatter_reduce(
                0, owner, parts, "amax" if self.p == math.inf else "sum"
            )
        return parts if self.p == math.inf else parts ** (1 / self.p)


def powers(values: Sequence[Tensor], p: float = 2.0, axis: int | None = None) -> Powers:
    """`values`: at least one, any float or complex dtype, any layout and shape, on one device.

    With `axis` the partial norms are those of the units that it counts; a tensor of fewer than two
    dimensions is one unit.
    """
    flat = values if plain(values) else [elements(v, p) for v in values]
    owners: list[tuple[int, int]] = []
    if axis is not None:
        units = [_units(v, p, axis) for v in values]
        owners = [(i, len(u)) for i, u in enumerate(units)]
        parts = torch.cat(units)
    elif flat[0].device.type == "cpu" and p != math.inf:
        parts = _rows(flat, p, owners)
    else:  # an accelerator's kernel adds up in chunks already, and a maximum needs none
        parts = torch.stack(_each(flat, p))
    wide = parts.double() if parts.device.type != "mps" else parts
    if p == 2.0:
        wide = wide.square_()  # a tensor of our own
    elif p not in (1.0, math.inf):
        wide = wide**p
    return Powers(wide, tuple(owners), len(flat), p)


def widened(values: Sequence[Tensor], p: float = 2.0) -> Powers:
    """As `powers`, for p below inf, in float64 throughout: for squares that overflow float32."""
    norms = []
    for v in values:
        blocks = elements(v, p).reshape(-1).split(16 * ROW)
        parts = torch.stack([torch.linalg.vector_norm(b.double(), p) for b in blocks])
        norms.append(torch.linalg.vector_norm(parts, p))
    return Powers(torch.stack(norms) ** p, (), len(norms), p)


def joined(groups: Sequence[Powers], home: torch.device) -> Powers:
    """Those of several devices, in sequence, as one on `home`."""
    if len(groups) == 1:
        return groups[0]
    p = groups[0].p
    parts = torch.cat([g.tensors().to(home) for g in groups])
    return Powers(parts if p == math.inf else parts**p, (), len(parts), p)


def total_norm(values: Iterable[Tensor], p: float = 2.0) -> Tensor:
    """Norm of all `values` together, [] float64."""
    return powers(list(values), p).total()


def plain(values: Sequence[Tensor]) -> bool:
    """All are dense, real and contiguous. Asked every step: each test is one loop in C."""
    return (
        all(map(Tensor.is_contiguous, values))  # False for sparse ones
        and not any(map(Tensor.is_complex, values))
    )


def elements(v: Tensor, p: float = 2.0) -> Tensor:
    """The elements of `v` as a real tensor, in any order; a view where that is possible."""
    if v.layout is not torch.strided:
        v = v.coalesce().values() if v.layout is torch.sparse_coo else v.values()
    if v.is_complex():
        v = torch.view_as_real(v.resolve_conj()) if p == 2.0 else v.abs()
    if not v.is_contiguous():  # channels_last, transposed: a norm knows no order
        v = v.permute(sorted(range(v.ndim), key=v.stride, reverse=True))
        v = v.contiguous()
    return v


def _rows(flat: Sequence[Tensor], p: float, owners: list[tuple[int, int]]) -> Tensor:
    """Partial norms [C] of contiguous CPU tensors; says in `owners` whose they are."""
    sizes = list(map(Tensor.numel, flat))
    if max(sizes) <= ROW:
        return torch.stack(_each(flat, p))
    rows: list[Tensor] = []
    ends: list[Tensor] = []
    owners_of_ends: list[tuple[int, int]] = []
    dtype = _dtype(flat, p)
    for i, (v, size) in enumerate(zip(flat, sizes, strict=True)):
        whole, rest = divmod(size, ROW)
        if whole:
            block = v.as_strided((whole, ROW), (ROW, 1))
            if v.dtype == dtype:
                rows.append(torch.linalg.vector_norm(block, p, 1))
            else:  # torch widens all that it gets: a few rows at a time need no memory
                rows += [
                    torch.linalg.vector_norm(b, p, 1, dtype=dtype) for b in block.unsafe_split(16)
                ]
            owners.append((i, whole))
        if rest or not whole:
            at = v.storage_offset() + whole * ROW
            ends.append(v.as_strided((rest,), (1,), at) if whole else v)
            owners_of_ends.append((i, 1))
    if not ends:
        return torch.cat(rows)
    owners += owners_of_ends
    return torch.cat([*rows, torch.stack(_each(ends, p))])


def _units(v: Tensor, p: float, axis: int) -> Tensor:
    """One norm a unit of `v`, [U] float32 or wider."""
    v = v.to_dense()
    v = v.abs() if v.is_complex() else v
    if v.ndim < 2:
        return torch.stack(_each([v], p))
    others = [d for d in range(v.ndim) if d != axis % v.ndim]
    norms: Tensor = torch.linalg.vector_norm(v, p, others, dtype=_dtype([v], p))
    return norms


def _each(values: Sequence[Tensor], p: float) -> list[Tensor]:
    """One norm [] a tensor, float32 or wider."""
    if p == math.inf:
        return [_largest(v) for v in values]
    if (dtype := _dtype(values, p)) is torch.float64:  # torch takes no list of several dtypes to it
        return [torch.linalg.vector_norm(v, p, dtype=dtype) for v in values]
    return list(torch._foreach_norm(tuple(values), p, dtype))


def _dtype(values: Sequence[Tensor], p: float) -> torch.dtype:
    """To add up in. Squares may be float32; other powers lose too much, and are rare."""
    wide = p != 2.0 or torch.float64 in set(map(_DTYPE_OF, values))
    return torch.float64 if wide and values[0].device.type != "mps" else torch.float32


def _largest(v: Tensor) -> Tensor:
    """Largest modulus of real `v`, [] float32 or wider; NaN where there is one."""
    dtype = torch.promote_types(v.dtype, torch.float32)
    if not v.numel():
        return v.new_zeros((), dtype=dtype)
    low, high = torch.aminmax(v)
    return torch.maximum(-low, high).to(dtype)
