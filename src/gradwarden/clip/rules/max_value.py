"""A fixed bound on each element.

Source: torch.nn.utils.clip_grad_value_.
Differs: one pass over gradients that need no clipping, two over others, where torch makes two over
all; a complex element keeps its phase, sparse gradients are bounded too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, Scope, describe
from gradwarden.clip.rules.max_norm import NoState
from gradwarden.core.errors import BadInput


@dataclass(frozen=True, repr=False)
class MaxValue:
    """Scale each element down to modulus `max_value`; norms are the largest modulus."""

    max_value: float
    needs: ClassVar[Needs] = Needs()
    scope: ClassVar[Scope] = "element"
    __repr__ = describe

    def __post_init__(self) -> None:
        if not self.max_value > 0.0:
            raise BadInput(f"max_value must be above 0, got {self.max_value}")

    def init(self, like: Tensor) -> NoState:
        return NoState()

    def step(self, seen: Measured, state: NoState) -> tuple[Tensor, NoState]:
        return torch.full_like(seen.norms, self.max_value), state
