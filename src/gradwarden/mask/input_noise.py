"""Gaussian noise is added to every input, at inference too.

Source: Cao & Gong 2017, arXiv:1709.05583 (answers at random points nearby); without their vote.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended


@dataclass(frozen=True, kw_only=True)
class InputNoise:
    """x plus normal noise of deviation `std`, in units of x, fresh in every forward.

    Draws come from PyTorch's global generator, as in a deployed model: `torch.manual_seed` freezes
    them. With many draws and a vote this becomes randomised smoothing, an honest defence.

    Claims: small perturbations drown, and the gradient is another one each time.
    Breaks: gradients averaged over the draws (EOT); the surrogate is the mean, x itself.
    Cost: accuracy, unless the model is trained with the noise.
    """

    std: float = 0.1

    def __post_init__(self) -> None:
        if not 0.0 < self.std < float("inf"):
            raise BadInput(f"std must be above 0, in units of x, got {self.std}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the noise; its gradient is right for one draw."""
        return Defended(Noisy(self), model)


class Noisy(nn.Module):
    """x [N, ...] -> x plus noise; it may leave the box of x."""

    def __init__(self, options: InputNoise) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return x + self.options.std * torch.randn_like(x)

    def surrogate(self) -> nn.Module:
        """The identity: the mean over the draws."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
