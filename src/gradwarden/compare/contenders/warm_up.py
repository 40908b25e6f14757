"""A learning rate that grows to its value over the first steps.

Source: Goyal et al. 2017, arXiv:1706.02677, sec. 2.2 (linear).
"""

from __future__ import annotations

from dataclasses import dataclass

from gradwarden.compare.contenders.contender import Treatment
from gradwarden.core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class WarmUp(Treatment):
    """The rate grows linearly over the first `part` of the steps, then stays."""

    part: float = 0.1

    name = "warm-up"
    noun = "warm-up"

    def __post_init__(self) -> None:
        if not 0.0 < self.part <= 1.0:
            raise BadInput(f"part must be above 0 and at most 1, got {self.part}")

    @property
    def what(self) -> str:
        return f"Lets the learning rate grow to its value over the first {self.part:.0%} of steps."

    @property
    def label(self) -> str:
        return f"warm-up over {self.part:.0%}"

    def share(self, step: int, steps: int) -> float:
        return min(1.0, (step + 1) / max(1.0, self.part * steps))
