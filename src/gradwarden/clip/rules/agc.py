"""Threshold of each unit = a share of the norm of its weights.

Source: Brock et al. 2021 (NFNet), arXiv:2102.06171, sec. 4.1 and their code for the constants.
Differs: `axis` says which dimension counts the units: 0 for torch's Linear and Conv (out, in, ...),
1 for ConvTranspose and for transformers' Conv1D. What has fewer than two dimensions is one unit.
The paper leaves the last layer alone: give `{"head.*": None, "*": AGC()}` as the rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from gradwarden.clip.rule import Measured, Needs, describe
from gradwarden.clip.rules.max_norm import NoState
from gradwarden.core.errors import BadInput


@dataclass(frozen=True, kw_only=True, repr=False)
class AGC:
    """Clip each unit's gradient to `share` of its weight norm, taken as at least `least`.

    The paper's share is for batches of 4096; smaller batches take a larger one.
    """

    share: float = 0.01
    least: float = 1e-3
    axis: int = 0
    scope: Literal["unit", "tensor"] = "unit"
    __repr__ = describe

    def __post_init__(self) -> None:
        if not self.share > 0.0:
            raise BadInput(f"share must be above 0, got {self.share}")
        if not self.least > 0.0:
            raise BadInput(f"least must be above 0, got {self.least}")
        if self.scope not in ("unit", "tensor"):
            raise BadInput(f"scope must be 'unit' or 'tensor', got {self.scope!r}")

    @property
    def needs(self) -> Needs:
        return Needs(axis=self.axis, weights=True)

    def init(self, like: Tensor) -> NoState:
        return NoState()

    def step(self, seen: Measured, state: NoState) -> tuple[Tensor, NoState]:
        assert seen.weights is not None  # as declared in `needs`
        return self.share * seen.weights.clamp(min=self.least), state
