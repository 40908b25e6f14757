"""Blocks of a sample: rectangles of images, stretches of series and of rows, and hills on them.

Source: Andriushchenko et al. 2020, arXiv:1912.00049, sec. 3.4 (the hills, from eq. 2).
Differs: each sample has its own block; every place is possible, the last row and column included.
Samples are seen as [N, C, H, W]: a series [N, C, T] has H = 1, a row [N, F] C = 1 too.
"""

from __future__ import annotations

from functools import cache

import torch
from torch import Tensor

from gradwarden.core.geometry import tiny


def planes(x: Tensor) -> Tensor:
    """x [N, ...] as [N, C, H, W]."""
    if x.ndim == 2:
        return x[:, None, None, :]
    return x[:, :, None, :] if x.ndim == 3 else x.flatten(1, -3)


def sides(
    share: float, grid: Tensor, *, least: int = 1, cells: float | None = None
) -> tuple[int, int]:
    """Height and width of a block that covers `share` of `cells` (default H x W) places.

    A square where one fits, else all of the short side and as much of the long one as it takes.
    """
    rows, columns = grid.shape[2:]
    area = share * (rows * columns if cells is None else cells)
    side, short = max(round(area**0.5), least), min(rows, columns)
    if side <= short:
        return side, side
    long = max(round(area / short), least)
    return min(rows, long), min(columns, long)


def offsets(grid: Tensor, size: tuple[int, int], place: Tensor) -> tuple[Tensor, Tensor]:
    """[N, H] and [N, W]: row and column inside each sample's block, `size` where outside."""
    corner = [
        (place[:, axis] * (grid.shape[2 + axis] - extent + 1)).long()
        for axis, extent in enumerate(size)
    ]
    return offsets_of(grid, size, torch.stack(corner, 1))


def inside(grid: Tensor, size: tuple[int, int], place: Tensor) -> Tensor:
    """[N, 1, H, W] bool: a block of each sample; place [N, 2] in [0, 1) says where."""
    return within(offsets(grid, size, place), size)


def within(at: tuple[Tensor, Tensor], size: tuple[int, int]) -> Tensor:
    """[N, 1, H, W] bool: the block that these offsets are of."""
    return ((at[0] < size[0])[:, :, None] & (at[1] < size[1])[:, None, :])[:, None]


def weight(at: tuple[Tensor, Tensor], size: tuple[int, int], like: Tensor) -> Tensor:
    """As `within`, in the dtype of `like`: 1 or 0. Sums and products of it cost a tenth."""
    rows, columns = ((part < extent).to(like) for part, extent in zip(at, size, strict=True))
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def offsets_of(grid: Tensor, size: tuple[int, int], corner: Tensor) -> tuple[Tensor, Tensor]:
    """As `offsets`, for the blocks whose first place is `corner` [N, 2]."""
    found = []
    for axis, extent in enumerate(size):
        at = torch.arange(grid.shape[2 + axis], device=grid.device) - corner[:, axis : axis + 1]
        found.append(at.where((at >= 0) & (at < extent), extent))
    return found[0], found[1]


def bumps(
    at: tuple[Tensor, Tensor], size: tuple[int, int], upright: Tensor, like: Tensor
) -> Tensor:
    """[N, 1, H, W]: the bump at each sample's block, lying where not `upright` [N]; 0 elsewhere."""
    shapes = torch.stack([bump(size[1], size[0]).T, bump(*size)])
    table = torch.nn.functional.pad(shapes, (0, 1, 0, 1)).to(like)
    first = upright.int()[:, None] * table[0].numel()
    rows, columns = first + at[0].int() * table.shape[2], at[1].int()
    index = rows[:, :, None] + columns[:, None, :]
    return table.flatten().index_select(0, index.flatten()).view(index.shape)[:, None]


@cache
def bump(height: int, width: int) -> Tensor:
    """[height, width]: a hill beside a hollow, of length 1; along the longer side of a line."""
    if height == 1 < width:
        return bump(width, 1).T
    both = torch.cat([_hill(height // 2, width), -_hill(height - height // 2, width)])
    return both / both.square().sum().sqrt()


def _hill(height: int, width: int) -> Tensor:
    """[height, width], falling in square rings around the middle as a tail of sum 1 / k^2."""
    ring = [(torch.arange(side) - side // 2).abs() for side in (height, width)]
    terms = 1 / torch.arange(1.0, max(height, width) // 2 + 2).square()
    tail = terms.flip(0).cumsum(0).flip(0)
    return tail[torch.maximum(ring[0][:, None], ring[1][None, :])]


def unit(grid: Tensor) -> Tensor:
    """Each channel [H, W] divided by its length."""
    length = grid.square().sum((2, 3), keepdim=True).sqrt()
    return grid / length.clamp(min=tiny(grid))
