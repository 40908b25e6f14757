"""Threshold from the mean and deviation of recent norms: what is z deviations above is a spike.

Source: Kumar et al. 2025 (ZClip), arXiv:2504.02507, and the authors' code for the constants.
Differs, unless `reference=True`:
- the first statistics are a median and a median deviation, so a spike in the warm-up does not
  blind the rule;
- after `patience` spikes in a row the statistics take the norms as they are, so a lasting rise is
  followed; the original sees its own clipped norms and stays at the old level for ever;
- the deviation is at least a tenth of the mean, so that constant norms do not make everything a
  spike.
Without a fixed bound `max_norm` unless given: the authors' code has 1.0, the paper none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, describe
from gradwarden.core.errors import BadInput

NORMAL = 1.4826  # deviation of a normal sample / its median absolute deviation
FLOOR = 0.1  # of the mean: batch noise of real runs is above it
TINY = 1e-6  # the authors' guard against a deviation of 0


class ZScoreState(NamedTuple):
    first: Tensor  # [warmup, *S] float32, norms of the warm-up
    seen: Tensor  # [*S] int64, norms so far
    mean: Tensor  # [*S] float32
    var: Tensor  # [*S] float32
    run: Tensor  # [*S] int64, spikes in a row up to now


@dataclass(frozen=True, kw_only=True, repr=False)
class ZScore:
    """Clip norms more than `z` deviations above the mean of recent norms.

    `alpha` is the share of the old mean and variance that is kept a step. `mode` says what a spike
    is clipped to: "adaptive" the nearer to the mean the higher it is, "mean" the mean,
    "percentile" the mean plus `z` deviations. Nothing is clipped in the first `warmup` steps
    except to `max_norm`.
    """

    z: float = 2.5
    alpha: float = 0.97
    warmup: int = 25
    mode: Literal["adaptive", "mean", "percentile"] = "adaptive"
    max_norm: float = float("inf")
    patience: int = 10
    reference: bool = False
    scope: Literal["total", "tensor", "element"] = "total"
    needs: ClassVar[Needs] = Needs()
    __repr__ = describe

    def __post_init__(self) -> None:
        if not self.z > 0.0:
            raise BadInput(f"z must be above 0 deviations, got {self.z}")
        if not 0.0 < self.alpha < 1.0:
            raise BadInput(f"alpha must be in (0, 1), got {self.alpha}")
        if self.warmup < 2:
            raise BadInput(f"warmup must be at least 2 steps, got {self.warmup}")
        if self.mode not in ("adaptive", "mean", "percentile"):
            raise BadInput(f"mode must be 'adaptive', 'mean' or 'percentile', got {self.mode!r}")
        if not self.max_norm > 0.0:
            raise BadInput(f"max_norm must be above 0, got {self.max_norm}")
        if self.patience < 1:
            raise BadInput(f"patience must be at least 1 step, got {self.patience}")
        if self.scope not in ("total", "tensor", "element"):
            raise BadInput(f"scope must be 'total', 'tensor' or 'element', got {self.scope!r}")

    def init(self, like: Tensor) -> ZScoreState:
        zero, none = torch.zeros_like(like), torch.zeros_like(like, dtype=torch.int64)
        return ZScoreState(like.new_zeros(self.warmup, *like.shape), none, zero, zero, none)

    def step(self, seen: Measured, state: ZScoreState) -> tuple[Tensor, ZScoreState]:
        norm, warm = seen.norms, state.seen < self.warmup
        spread = state.var.sqrt()
        if not self.reference:
            spread = spread.maximum(FLOOR * state.mean)
        score = (norm - state.mean) / (spread + TINY)
        spike = (score > self.z) & (state.seen >= self.warmup)
        level = self._level(state.mean, spread, score)
        threshold = torch.where(spike, level, torch.inf).clamp(max=self.max_norm)

        run = torch.where(spike, state.run + 1, 0)
        followed = spike if self.reference else spike & (run <= self.patience)
        x = torch.where(followed, level, norm)
        mean = self.alpha * state.mean + (1 - self.alpha) * x
        var = self.alpha * state.var + (1 - self.alpha) * (x - mean).square()
        slot = state.seen.clamp(max=self.warmup - 1).unsqueeze(0)
        first = torch.where(warm, state.first.scatter(0, slot, norm.unsqueeze(0)), state.first)
        start = self._start(first)
        last = state.seen + 1 == self.warmup
        mean = torch.where(warm, torch.where(last, start[0], 0.0), mean)
        var = torch.where(warm, torch.where(last, start[1], 0.0), var)
        return threshold, ZScoreState(first, state.seen + 1, mean, var, run)

    def _level(self, mean: Tensor, spread: Tensor, score: Tensor) -> Tensor:
        if self.mode == "mean":
            return mean
        if self.mode == "percentile":
            return mean + self.z * spread
        return mean + self.z**2 * spread / score

    def _start(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance from the norms of the warm-up."""
        if self.reference:
            return first.mean(0), first.var(0, correction=0)
        middle = first.median(0).values
        return middle, (NORMAL * (first - middle).abs().median(0).values).square()
