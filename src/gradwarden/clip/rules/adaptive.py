"""The default: a spike is what stands out from the median of recent norms, on a log scale.

Source: our own. The median and the median absolute deviation of log-norms in a sliding window
withstand up to half a window of outliers; Hampel 1974, JASA 69(346).

What it promises: *forgetting*. The state is the last `window` norms and nothing else, so after any
past, however bad, `window` ordinary steps make it what a fresh run would have. On log-normal norms
(sigma up to 1) it clips fewer than 1 % of ordinary steps and every norm of 100 times the median.
The threshold never exceeds `cap` times the median.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, describe
from gradwarden.core.errors import BadInput

NORMAL = 1.4826  # deviation of a normal sample / its median absolute deviation
LEAST = 0.1  # of the deviation of log-norms: a tenth up or down is never news
EARLY = 16  # steps in which the deviation is not trusted and taken as 1 at the least
RECENT = 16  # steps whose median may raise the level before half the window has changed


class AdaptiveState(NamedTuple):
    logs: Tensor  # [window, *S] float32, the newest last; NaN where there is none yet


@dataclass(frozen=True, kw_only=True, repr=False)
class Adaptive:
    """Clip norms more than `k` deviations above the level of the last `window` norms.

    The level is the median over the window, or over its last 16 norms where that is higher: a
    lasting rise is followed after 9 steps, 8 spikes in a row are not. The first step is never
    clipped. Norms of zero say nothing about the level and do not enter.
    """

    window: int = 128
    k: float = 2.75
    cap: float = 100.0
    scope: Literal["total", "tensor", "element"] = "total"
    needs: ClassVar[Needs] = Needs()
    __repr__ = describe

    def __post_init__(self) -> None:
        if self.window < RECENT:
            raise BadInput(f"window must be at least {RECENT} steps, got {self.window}")
        if not self.k > 0.0:
            raise BadInput(f"k must be above 0 deviations, got {self.k}")
        if not self.cap > 1.0:
            raise BadInput(f"cap must be above 1, in units of the median norm, got {self.cap}")
        if self.scope not in ("total", "tensor", "element"):
            raise BadInput(f"scope must be 'total', 'tensor' or 'element', got {self.scope!r}")

    def init(self, like: Tensor) -> AdaptiveState:
        return AdaptiveState(torch.full((self.window, *like.shape), torch.nan, device=like.device))

    def step(self, seen: Measured, state: AdaptiveState) -> tuple[Tensor, AdaptiveState]:
        logs = state.logs
        middle = logs.nanmedian(0).values
        spread = NORMAL * (logs - middle).abs().nanmedian(0).values
        few = logs.isfinite().sum(0) < EARLY
        spread = torch.where(few, spread.clamp(min=1.0), spread.clamp(min=LEAST))
        level = middle.maximum(logs.narrow(0, self.window - RECENT, RECENT).nanmedian(0).values)
        bound = (level + self.k * spread).minimum(middle + math.log(self.cap))
        threshold = bound.exp().nan_to_num(nan=torch.inf)  # no norm yet

        shifted = torch.cat([logs.narrow(0, 1, self.window - 1), seen.norms.log().unsqueeze(0)])
        return threshold, AdaptiveState(torch.where(seen.norms > 0, shifted, logs))
