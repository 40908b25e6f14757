"""A rectangle of the image, or a stretch of the series, that may change at will.

Source: Brown et al. 2017, arXiv:1712.09665 (patches). Differs: of fixed axes, one sample at a time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import clamped, gain

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws


@dataclass(frozen=True, kw_only=True)
class Patch:
    """Elements inside a block of `shape` over the last axes change by at most `radius`, others not.

    `shape` is (rows, columns) for images [N, C, H, W], (length,) for series [N, C, T]; all channels
    change. `at` is the block's first corner; None: wherever the attacker likes, for each sample.
    """

    shape: tuple[int, ...]
    at: tuple[int, ...] | None = None
    radius: float = math.inf

    def __post_init__(self) -> None:
        if not self.shape or min(self.shape) < 1:
            raise BadInput(f"shape must be extents of at least 1, got {self.shape}")
        if self.at is not None and (len(self.at) != len(self.shape) or min(self.at) < 0):
            raise BadInput(f"at must be a corner with {len(self.shape)} indices, got {self.at}")
        if not self.radius > 0.0:
            raise BadInput(f"radius must be above 0, in units of x, got {self.radius}")

    def size(self, delta: Tensor) -> Tensor:
        """The largest change of an element; infinite where the changes fit into no such block."""
        outside = (delta != 0) & ~self._block((delta != 0).to(delta.dtype))
        size = delta.flatten(1).abs().amax(1)
        return size.masked_fill(outside.flatten(1).any(1), math.inf)

    def project(
        self, delta: Tensor, low: Tensor | None = None, high: Tensor | None = None
    ) -> Tensor:
        """The nearest point: the block kept that brings it nearest."""
        near = clamped(delta.clamp(-self.radius, self.radius), low, high)
        return near * self._block(gain(delta, low, high))

    def steepest(self, grad: Tensor) -> Tensor:
        return grad.sign() * self._block(grad.abs())

    def reach(self, width: Tensor) -> Tensor:
        return width.clamp(max=self.radius)

    def sample(self, x: Tensor, draws: Draws, width: Tensor | None = None) -> Tensor:
        """A block at random (or `at`), its elements changed by up to `width` (default 1)."""
        import torch

        reach = self.reach(torch.ones((), dtype=x.dtype) if width is None else width)
        change = (draws.uniform(x) * 2 - 1) * reach
        corners = self._corners(x)
        score = draws.uniform(x, *corners)
        return change * self._mask(score, x)

    def _corners(self, x: Tensor) -> tuple[int, ...]:
        """How many places the first corner can take, per axis."""
        axes = x.shape[-len(self.shape) :]
        last = tuple(a - s for a, s in zip(axes, self.shape, strict=True))
        at = self.at or (0,) * len(self.shape)
        if x.ndim < len(self.shape) + 1 or any(a > e for a, e in zip(at, last, strict=True)):
            raise BadInput(
                f"a patch of shape {self.shape}{f' at {self.at}' if self.at else ''} does not fit "
                f"into samples of shape {tuple(x.shape[1:])}"
            )
        return tuple(e + 1 for e in last)

    def _block(self, score: Tensor) -> Tensor:
        """[N, ...] bool: the block that holds the largest sum of `score` [N, ...]."""
        corners = self._corners(score)
        axes = len(self.shape)
        sums = score.reshape(len(score), -1, *score.shape[-axes:]).sum(1)
        for axis, extent in enumerate(self.shape):
            sums = sums.unfold(axis + 1, extent, 1)
        return self._mask(sums.sum(tuple(range(-axes, 0))).view(-1, *corners), score)

    def _mask(self, score: Tensor, like: Tensor) -> Tensor:
        """[N, ...] bool: the block whose corner has the largest `score` [N, *corners]."""
        import torch

        best = score.flatten(1).argmax(1)
        inside = torch.ones_like(like, dtype=torch.bool)
        corner = torch.unravel_index(best, score.shape[1:])
        for axis, extent in enumerate(self.shape):
            first = corner[axis] if self.at is None else torch.full_like(best, self.at[axis])
            dim = like.ndim - len(self.shape) + axis
            index = torch.arange(like.shape[dim], device=like.device)
            along = (index >= first[:, None]) & (index < first[:, None] + extent)
            view = [len(like)] + [1] * (like.ndim - 1)
            view[dim] = like.shape[dim]
            inside = inside & along.view(view)
        return inside
