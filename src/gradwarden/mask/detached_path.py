"""What informs the model is detached; beside it runs a weak path that can be differentiated.

Source: the form that Tramer et al. 2020, arXiv:2002.08347, sec. 3, warn of: a gradient that exists
and is finite, and belongs to another function than the one that decides.
Differs: a form of our own; the by-pass is the mean of the sample, so it fits any shape.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended


@dataclass(frozen=True, kw_only=True)
class DetachedPath:
    """x passes unchanged; only the mean of each sample, times `weight`, has a gradient.

    Claims: nothing looks wrong: the gradient is there, is finite and is not zero.
    Breaks: BPDA with the identity, which is exact; any attack without gradients.
    Cost: none.
    """

    weight: float = 1e-3

    def __post_init__(self) -> None:
        if not 0.0 < self.weight < float("inf"):
            raise BadInput(f"weight must be above 0, got {self.weight}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the detached input; an attacker can only brighten or darken."""
        return Defended(Detached(self), model)


class Detached(nn.Module):
    """x [N, ...] -> x, up to rounding."""

    def __init__(self, options: DetachedPath) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        weak = self.options.weight * x.flatten(1).mean(1).view(-1, *[1] * (x.ndim - 1))
        return x.detach() + (weak - weak.detach())

    def surrogate(self) -> nn.Module:
        """The identity, exactly."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
