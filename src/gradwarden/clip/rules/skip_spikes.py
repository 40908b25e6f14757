"""Skip a step whose loss or gradient norm stands far above the recent ones.

Source: OLMo-core, `SkipStepOptimizer`; OLMo team 2025 (OLMo 2), arXiv:2501.00656.
Differs, unless `reference=True`: a spike enters the history as the bound that it exceeded, so that
it does not hide the next one for `window` steps; after `patience` skipped steps in a row the
values enter as they are, so a lasting rise is followed. What is not finite never enters; in the
original one NaN stays in the window and skips the 128 steps that follow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, Scope, describe
from gradwarden.core.errors import BadInput


class SpikeState(NamedTuple):
    norms: Tensor  # [window] float32, the newest last; NaN where there is none yet
    losses: Tensor  # [window] float32, likewise
    run: Tensor  # [] int64, steps skipped in a row


@dataclass(frozen=True, kw_only=True, repr=False)
class SkipSpikes:
    """Skip where norm or loss is more than `sigmas` deviations above the mean of the last `window`.

    Nothing is skipped before half a window of values is known. The loss counts where it is given.
    """

    sigmas: float = 6.0
    window: int = 128
    patience: int = 10
    reference: bool = False
    needs: ClassVar[Needs] = Needs(loss=True, skips=True)
    scope: ClassVar[Scope] = "total"
    __repr__ = describe

    def __post_init__(self) -> None:
        if not self.sigmas > 0.0:
            raise BadInput(f"sigmas must be above 0 deviations, got {self.sigmas}")
        if self.window < 4:
            raise BadInput(f"window must be at least 4 steps, got {self.window}")
        if self.patience < 1:
            raise BadInput(f"patience must be at least 1 step, got {self.patience}")

    def init(self, like: Tensor) -> SpikeState:
        none = torch.full((self.window,), torch.nan, device=like.device)
        return SpikeState(none, none, torch.zeros_like(like, dtype=torch.int64))

    def step(self, seen: Measured, state: SpikeState) -> tuple[Tensor, SpikeState]:
        assert seen.loss is not None  # as declared in `needs`
        threshold, bound = self._bound(state.norms), self._bound(state.losses)
        high = seen.loss > bound
        spike = (seen.norms > threshold) | high
        run = torch.where(spike, state.run + 1, 0)
        norm, loss = seen.norms, seen.loss
        if not self.reference:
            held = run <= self.patience
            norm = torch.where(held, norm.minimum(threshold), norm)
            loss = torch.where(held, loss.minimum(bound), loss)
        new = SpikeState(_entered(state.norms, norm), _entered(state.losses, loss), run)
        return torch.where(high, 0.0, threshold), new

    def _bound(self, values: Tensor) -> Tensor:
        """Mean + `sigmas` deviations of the values known; inf while they are too few."""
        known = values.isfinite()
        count = known.sum()
        mean = torch.where(known, values, 0.0).sum() / count
        squares = torch.where(known, values - mean, 0.0).square().sum()
        bound = mean + self.sigmas * (squares / (count - 1)).sqrt()
        return torch.where(count >= self.window // 2, bound, torch.inf)


def _entered(values: Tensor, new: Tensor) -> Tensor:
    """`values` with `new` [] at the end, unless that is NaN: not given."""
    shifted = torch.cat([values.narrow(0, 1, len(values) - 1), new.unsqueeze(0)])
    return torch.where(new.isfinite(), shifted, values)
