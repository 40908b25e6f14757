"""The largest of each window, bounded by one of its elements.

Source: Singh et al. 2019 (DeepPoly), doi:10.1145/3290354, sec. 4.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import pad

from gradwarden.harden.bounds.layer import Back, Interval, dot, pull


@dataclass(frozen=True)
class MaxPool:
    """Windows of `kernel` elements every `stride`, after `padding`; one number an axis of each."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    linear = False

    def interval(self, *inputs: Interval) -> Interval:
        ((low, high),) = inputs
        return Interval(self._windows(low).amax(-1), self._windows(high).amax(-1))

    def back(self, rows: Tensor, *inputs: Interval) -> Back:
        """From below by the element with the largest lower end, at times from above by it too."""
        ((low, high),) = inputs
        below, above = self._windows(low), self._windows(high)
        top = below.argmax(-1, keepdim=True)
        others = above.scatter(-1, top, -torch.inf).amax(-1)
        wins = below.amax(-1) >= others  # that element is the largest for certain
        up, down = rows.clamp(min=0), rows.clamp(max=0)
        kept = (up + down * wins[:, None]).flatten(0, 1)
        count = rows.shape[1]

        def picked(x: Tensor) -> Tensor:
            where = top.repeat_interleave(count, 0)
            return self._windows(x).gather(-1, where)[..., 0]

        pulled = pull(picked, kept.unflatten(0, (len(low), count)), low)
        constant = dot(down * ~wins[:, None], above.amax(-1).where(~wins, 0.0))
        return Back((pulled,), constant)

    def _windows(self, x: Tensor) -> Tensor:
        """[N, C, ...] -> [N, C, ..., elements of a window]."""
        ends = [end for size in reversed(self.padding) for end in (size, size)]
        x = pad(x, ends, value=-torch.inf)
        for axis, (size, stride) in enumerate(zip(self.kernel, self.stride, strict=True)):
            x = x.unfold(2 + axis, size, stride)
        return x.flatten(-len(self.kernel))
