"""Threshold of each parameter = a multiple of the running mean of its own clipped norms.

Source: Wang et al. 2025 (AdaGC), arXiv:2502.11034, algorithm 1.
Differs, unless `reference=True`: after `patience` clipped steps in a row the norms enter as they
are, so a lasting rise is followed within some 100 steps, where the original may grow by a
thousandth a step and needs 1400 for a factor of 4; norms of zero do not enter, where one in the
original's warm-up keeps a parameter at zero for ever. In both, the norms that enter are the clipped
ones, as in the paper; its public README writes the unclipped.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, Scope, describe
from gradwarden.core.errors import BadInput


class AdaGCState(NamedTuple):
    mean: Tensor  # [T] float32; before the end of the warm-up the least norm, inf before any
    seen: Tensor  # [T] int64, steps so far
    run: Tensor  # [T] int64, clipped steps in a row


@dataclass(frozen=True, kw_only=True, repr=False)
class AdaGC:
    """Clip each parameter's gradient to `multiple` times the running mean of its norms.

    `beta` is the share of the old mean that is kept a step. In the steps before `warmup` all
    gradients together are clipped to norm `max_norm`.
    """

    multiple: float = 1.05
    beta: float = 0.98
    warmup: int = 100
    max_norm: float = 1.0
    patience: int = 10
    reference: bool = False
    needs: ClassVar[Needs] = Needs()
    scope: ClassVar[Scope] = "tensor"
    __repr__ = describe

    def __post_init__(self) -> None:
        if not self.multiple > 0.0:
            raise BadInput(f"multiple must be above 0, got {self.multiple}")
        if not 0.0 < self.beta < 1.0:
            raise BadInput(f"beta must be in (0, 1), got {self.beta}")
        if self.warmup < 1:
            raise BadInput(f"warmup must be at least 1 step, got {self.warmup}")
        if not self.max_norm > 0.0:
            raise BadInput(f"max_norm must be above 0, got {self.max_norm}")
        if self.patience < 1:
            raise BadInput(f"patience must be at least 1 step, got {self.patience}")

    def init(self, like: Tensor) -> AdaGCState:
        none = torch.zeros_like(like, dtype=torch.int64)
        return AdaGCState(torch.full_like(like, torch.inf), none, none)

    def step(self, seen: Measured, state: AdaGCState) -> tuple[Tensor, AdaGCState]:
        norms, warm = seen.norms, state.seen + 1 < self.warmup
        share = torch.where(seen.total > self.max_norm, self.max_norm / seen.total, 1.0)
        threshold = torch.where(warm, norms * share, self.multiple * state.mean)
        clipped = norms.minimum(threshold)

        run = torch.where((norms > threshold) & warm.logical_not(), state.run + 1, 0)
        entering = clipped
        if not self.reference:
            entering = torch.where(run > self.patience, norms, clipped)
        moved = self.beta * state.mean + (1 - self.beta) * entering
        mean = torch.where(warm, state.mean.minimum(clipped), moved)
        if not self.reference:
            # Known by the first norm above zero, also where the warm-up saw none.
            mean = torch.where(mean.isinf(), clipped, mean)
            mean = torch.where(norms > 0, mean, state.mean)
        return threshold, AdaGCState(mean, state.seen + 1, run)
