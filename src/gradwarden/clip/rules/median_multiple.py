"""Threshold = a multiple of the median of the recent gradient norms.

Source: the optimizer ScaledAdam of icefall, `clipping_scale`; Yao et al. 2023 (Zipformer),
arXiv:2310.11230.
Differs, unless `reference=True`: the median is taken anew every step, where the original takes it
after 10, 20, 40 and then every `window` norms and clips to an old one in between. In both, norms
are plain ones; ScaledAdam weighs each parameter by its root mean square.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, describe
from gradwarden.core.errors import BadInput

FIRST = (10, 20, 40)  # norms; until the window is full the level moves fast, so twice the multiple


class MedianState(NamedTuple):
    norms: Tensor  # [window, *S] float32; slots not filled yet are inf, which sorts last
    seen: Tensor  # [*S] int64, norms so far
    threshold: Tensor  # [*S] float32, of the last step


@dataclass(frozen=True, kw_only=True, repr=False)
class MedianMultiple:
    """Clip to `multiple` times the median of the last `window` norms, this step's included."""

    multiple: float = 2.0
    window: int = 100
    reference: bool = False
    scope: Literal["total", "tensor", "element"] = "total"
    needs: ClassVar[Needs] = Needs()
    __repr__ = describe

    def __post_init__(self) -> None:
        if not self.multiple > 0.0:
            raise BadInput(f"multiple must be above 0, got {self.multiple}")
        if self.window < FIRST[0]:
            raise BadInput(f"window must be at least {FIRST[0]} steps, got {self.window}")
        if self.scope not in ("total", "tensor", "element"):
            raise BadInput(f"scope must be 'total', 'tensor' or 'element', got {self.scope!r}")

    def init(self, like: Tensor) -> MedianState:
        norms = torch.full((self.window, *like.shape), torch.inf, device=like.device)
        none = torch.full_like(like, torch.inf)
        return MedianState(norms, torch.zeros_like(like, dtype=torch.int64), none)

    def step(self, seen: Measured, state: MedianState) -> tuple[Tensor, MedianState]:
        slot = (state.seen % self.window).unsqueeze(0)
        norms = state.norms.scatter(0, slot, seen.norms.unsqueeze(0))
        count = state.seen + 1
        filled = count.clamp(max=self.window)
        # Where the number of norms is even, the upper of the two in the middle, as the original.
        middle = (filled.div(4, rounding_mode="floor") * 2).unsqueeze(0)
        median = norms.sort(0).values.gather(0, middle).squeeze(0)
        early = count < self.window
        fresh = torch.where(early, 2 * self.multiple, self.multiple) * median
        if self.reference:
            due = count % self.window == 0
            for first in FIRST:
                due = due | (early & (count == first))
        else:
            due = count >= FIRST[0]
        threshold = torch.where(due, fresh, state.threshold)
        return threshold, MedianState(norms, count, threshold)
