"""Simply a lower learning rate: what clipping must be better than."""

from __future__ import annotations

from dataclasses import dataclass

from gradwarden.compare.contenders.contender import Treatment
from gradwarden.core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class LowerLearningRate(Treatment):
    """Each step is taken at `factor` of the nominal rate."""

    factor: float = 0.25

    name = "lower-learning-rate"
    noun = "a lower learning rate"

    def __post_init__(self) -> None:
        if not 0.0 < self.factor < 1.0:
            raise BadInput(f"factor must be above 0 and below 1, got {self.factor}")

    @property
    def what(self) -> str:
        return f"Takes every step at {self.factor:g} of the nominal learning rate."

    @property
    def label(self) -> str:
        return f"{self.factor:g} of the rate"

    def share(self, step: int, steps: int) -> float:
        return self.factor
