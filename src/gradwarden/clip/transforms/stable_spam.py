"""Bound the largest elements of each gradient, then give it the norm that its history expects.

Source: Huang et al. 2025 (Stable-SPAM), arXiv:2502.17055, AdaClip and AdaGN (eq. 4 to 7).
Differs: works with any optimizer, so the momentum reset that the paper adds to Adam is not here,
nor is its defect: there the reset restarts the bias correction of the largest element without its
mean, and the bound is a hundred times too high right after.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.norm import powers
from gradwarden.clip.rule import describe
from gradwarden.core.errors import BadInput


class StableSPAMState(NamedTuple):
    largest: Tensor  # [T] float32, running mean of the largest modulus, not bias corrected
    mean: Tensor  # [T] float32, running mean of the norm, not bias corrected
    square: Tensor  # [T] float32, running mean of its square, not bias corrected
    seen: Tensor  # [T] int64, steps so far


@dataclass(frozen=True, kw_only=True, repr=False)
class StableSPAM:
    """Elements are bounded by the running mean of the largest modulus of their tensor, `theta`.

    The norm is then set to mean / (root mean square) of its history, of shares `gamma1` and
    `gamma2`: about 1 in a steady run, whatever the gradient's own scale.
    """

    gamma1: float = 0.7
    gamma2: float = 0.9
    theta: float = 0.999
    eps: float = 1e-8
    __repr__ = describe

    def __post_init__(self) -> None:
        for name in ("gamma1", "gamma2", "theta"):
            if not 0.0 <= getattr(self, name) < 1.0:
                raise BadInput(f"{name} must be in [0, 1), got {getattr(self, name)}")
        if not self.eps > 0.0:
            raise BadInput(f"eps must be above 0, got {self.eps}")

    def init(self, params: Sequence[Tensor], home: torch.device) -> StableSPAMState:
        zero = torch.zeros(len(params), device=home)
        return StableSPAMState(zero, zero, zero, zero.long())

    def apply(
        self, grads: Sequence[Tensor], state: StableSPAMState
    ) -> tuple[list[Tensor], StableSPAMState]:
        home = state.largest.device
        top = torch.stack([g.abs().amax().float().to(home) for g in grads])
        seen = state.seen + 1
        largest = self.theta * state.largest + (1 - self.theta) * top
        bound = largest / (1 - self.theta**seen)
        share = torch.where(top > bound, bound / top, 1.0)
        # One coefficient would shrink ordinary elements too: only those above the bound change.
        bounded = [
            torch.where(g.abs() > b.to(g.device), g * c.to(g.device, g.dtype), g)
            for g, b, c in zip(grads, bound, share, strict=True)
        ]
        norms = torch.stack([powers([g]).total().float().to(home) for g in bounded])
        mean = self.gamma1 * state.mean + (1 - self.gamma1) * norms
        square = self.gamma2 * state.square + (1 - self.gamma2) * norms.square()
        wanted = (mean / (1 - self.gamma1**seen)) / (
            (square / (1 - self.gamma2**seen)).sqrt() + self.eps
        )
        factor = torch.where(norms > 0, wanted / norms, 1.0)
        out = [g * f.to(g.device, g.dtype) for g, f in zip(bounded, factor, strict=True)]
        return out, StableSPAMState(largest, mean, square, seen)
