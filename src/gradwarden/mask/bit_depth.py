"""Fewer grey levels: every value is rounded to one of 2^bits.

Source: Xu et al. 2018, arXiv:1704.01155, sec. III.A (feature squeezing).
Differs: rounds to the nearest level, where some implementations cut the low bits off.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended


@dataclass(frozen=True, kw_only=True)
class BitDepth:
    """Rounds x to 2^`bits` even levels of `box`.

    Claims: small perturbations are rounded away, and rounding has no gradient to follow.
    Breaks: BPDA with the identity; the levels are dense enough to be crossed. At one or two bits on
    nearly binary images it is an honest defence for small radii.
    Cost: none in time; at 3 bits little accuracy, at 1 bit much on natural images.
    """

    bits: int = 3
    box: tuple[float, float] = (0.0, 1.0)

    def __post_init__(self) -> None:
        if not 1 <= self.bits <= 16:
            raise BadInput(f"bits must be in [1, 16], got {self.bits}")
        if not self.box[0] < self.box[1]:
            raise BadInput(f"box must be (low, high) with low < high, got {self.box}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the rounding; its gradient is zero almost everywhere."""
        return Defended(Quantiser(self), model)


class Quantiser(nn.Module):
    """x [N, ...] -> the nearest of the levels."""

    def __init__(self, options: BitDepth) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        low, high = self.options.box
        steps = 2**self.options.bits - 1
        level = ((x - low) / (high - low) * steps).round()
        rounded: Tensor = level / steps * (high - low) + low
        return rounded

    def surrogate(self) -> nn.Module:
        """The identity: at most half a level away."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
