"""Weights that shrink a little at each step.

Source: Krogh & Hertz 1992; Loshchilov & Hutter 2019, arXiv:1711.05101 (decoupled, in AdamW).
Differs: under SGD it is the L2 penalty of torch's optimizer, which there is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

from gradwarden.compare.contenders.contender import Treatment
from gradwarden.core.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class WeightDecay(Treatment):
    """The optimizer's `weight_decay`: a share of the weight, times the rate, a step.

    In place of the optimizer's own, which is 0 for SGD and 0.01 for AdamW.
    """

    decay: float = 0.1

    name = "weight-decay"
    noun = "weight decay"

    def __post_init__(self) -> None:
        if not self.decay > 0.0:
            raise BadInput(f"decay must be above 0, got {self.decay}")

    @property
    def what(self) -> str:
        return f"Takes {self.decay:g} times the learning rate off every weight at each step."

    @property
    def label(self) -> str:
        return f"weight decay {self.decay:g}"

    @property
    def options(self) -> dict[str, float]:
        return {"weight_decay": self.decay}
