"""Threshold = a quantile of the recent gradient norms.

Source: Seetharaman et al. 2020 (AutoClip), arXiv:2007.14469; tested against numpy's percentile.
Differs: the last `window` norms instead of the whole history, so the threshold follows a norm that
settles at another level within some `window` steps; norms that are not finite never enter, where one NaN in the original
makes every later percentile NaN. A `window` as long as the run is the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, describe
from gradwarden.core.errors import BadInput


class QuantileState(NamedTuple):
    norms: Tensor  # [window, *S] float32; slots not filled yet are inf, which sorts last
    seen: Tensor  # [*S] int64, norms so far


@dataclass(frozen=True, kw_only=True, repr=False)
class Quantile:
    """Clip to the `q`-quantile of the last `window` norms, this step's included.

    At the default, nine of ten steps are clipped: the paper's choice, near to normalised descent.
    """

    q: float = 0.1
    window: int = 200
    scope: Literal["total", "tensor", "element"] = "total"
    needs: ClassVar[Needs] = Needs()
    __repr__ = describe

    def __post_init__(self) -> None:
        if not 0.0 <= self.q <= 1.0:
            raise BadInput(f"q must be in [0, 1], got {self.q}")
        if self.window < 1:
            raise BadInput(f"window must be at least 1 step, got {self.window}")
        if self.scope not in ("total", "tensor", "element"):
            raise BadInput(f"scope must be 'total', 'tensor' or 'element', got {self.scope!r}")

    def init(self, like: Tensor) -> QuantileState:
        norms = torch.full((self.window, *like.shape), torch.inf, device=like.device)
        return QuantileState(norms, torch.zeros_like(like, dtype=torch.int64))

    def step(self, seen: Measured, state: QuantileState) -> tuple[Tensor, QuantileState]:
        slot = (state.seen % self.window).unsqueeze(0)
        norms = state.norms.scatter(0, slot, seen.norms.unsqueeze(0))
        count = state.seen + 1
        last = count.clamp(max=self.window) - 1
        place = last * self.q
        low = place.long()
        around = torch.stack([low, (low + 1).minimum(last)])
        below, above = norms.sort(0).values.gather(0, around).unbind()
        threshold = torch.lerp(below, above, (place - low).float())
        return threshold, QuantileState(norms, count)
