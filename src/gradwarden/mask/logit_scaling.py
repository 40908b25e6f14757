"""Logits times a large number: the softmax saturates and its gradient underflows.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. IV (why distillation seems to work: its
logits are larger by the temperature).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Answered


@dataclass(frozen=True, kw_only=True)
class LogitScaling:
    """Logits are multiplied by `factor`; every decision stays what it was.

    Claims: the loss around each sample is flat.
    Breaks: a loss on the logits (margin); dividing by the factor. There is no surrogate: one that
    sits between the logits and the same saturated loss would change nothing.
    Cost: none but confidences, which mean nothing any more.
    """

    factor: float = 1000.0

    def __post_init__(self) -> None:
        if not 1.0 <= self.factor < float("inf"):
            raise BadInput(f"factor must be at least 1, got {self.factor}")

    def defend(self, model: nn.Module) -> Answered:
        """The model with larger logits; its cross-entropy has no gradient in float32."""
        return Answered(model, Scale(self))


class Scale(nn.Module):
    """logits [N, classes] -> the same, times the factor."""

    def __init__(self, options: LogitScaling) -> None:
        super().__init__()
        self.options = options

    def forward(self, logits: Tensor) -> Tensor:
        return logits * self.options.factor

    def extra_repr(self) -> str:
        return repr(self.options)
