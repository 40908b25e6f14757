"""A fixed bound on the norm.

Source: Pascanu et al. 2013, arXiv:1211.5063, sec. 3.2; torch.nn.utils.clip_grad_norm_.
Differs: the coefficient is max_norm / norm without torch's 1e-6, so a norm at or below `max_norm`
is left as it is, bit for bit; scope "tensor" bounds every parameter's gradient by itself.
"""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, describe
from gradwarden.core.errors import BadInput


class NoState(NamedTuple):
    """Of a rule that remembers nothing."""


@dataclass(frozen=True, repr=False)
class MaxNorm:
    """Scale gradients down to norm `max_norm`, of order `p`; inf measures and never clips."""

    max_norm: float
    _: KW_ONLY
    p: float = 2.0
    scope: Literal["total", "tensor"] = "total"
    __repr__ = describe

    def __post_init__(self) -> None:
        if not self.max_norm > 0.0:
            raise BadInput(f"max_norm must be above 0, got {self.max_norm}")
        if not self.p > 0.0:
            raise BadInput(f"p must be above 0 (inf is allowed), got {self.p}")
        if self.scope not in ("total", "tensor"):
            raise BadInput(f"scope must be 'total' or 'tensor', got {self.scope!r}")

    @property
    def needs(self) -> Needs:
        return Needs(p=math.inf if math.isinf(self.p) else float(self.p))

    def init(self, like: Tensor) -> NoState:
        return NoState()

    def step(self, seen: Measured, state: NoState) -> tuple[Tensor, NoState]:
        return torch.full_like(seen.norms, self.max_norm), state
