"""The model's answers are rounded before anybody sees them.

Source: Tramer et al. 2016, arXiv:1609.02943, sec. 7 (rounding confidences); as a defence against
attackers, in ART's post-processors.
Differs: logits are rounded, not probabilities, so that the order of classes survives.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Answered


@dataclass(frozen=True, kw_only=True)
class LogitRounding:
    """Logits are rounded to multiples of `step`.

    Claims: without exact confidences an attacker can neither differentiate nor compare.
    Breaks: whoever has the weights leaves the rounding away (BPDA with the identity); without
    them, attacks that need the decision alone.
    Cost: ties, which go to the first class; none in time.
    """

    step: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 < self.step < float("inf"):
            raise BadInput(f"step must be above 0, in logits, got {self.step}")

    def defend(self, model: nn.Module) -> Answered:
        """The model with rounding after it; its gradient is zero almost everywhere."""
        return Answered(model, Rounder(self))


class Rounder(nn.Module):
    """logits [N, classes] -> the nearest multiples of the step."""

    def __init__(self, options: LogitRounding) -> None:
        super().__init__()
        self.options = options

    def forward(self, logits: Tensor) -> Tensor:
        return (logits / self.options.step).round() * self.options.step

    def surrogate(self) -> nn.Module:
        """The identity: at most half a step away."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
