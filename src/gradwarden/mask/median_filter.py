"""Every value becomes the median of its neighbourhood.

Source: Xu et al. 2018, arXiv:1704.01155, sec. III.B (spatial smoothing).
Differs: reflected borders, as there; windows of odd size alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import pad

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended


@dataclass(frozen=True, kw_only=True)
class MedianFilter:
    """The median over windows of `size` in each of the dimensions after the channel.

    Claims: single values that an attacker changed are voted down by their neighbours.
    Breaks: nearly any attack: the gradient of a median goes to the one value that is it, which is
    coarse but right; BPDA with the mean of the window spreads it.
    Cost: fine detail, about `size` squared times the memory of x.
    """

    size: int = 3

    def __post_init__(self) -> None:
        if self.size < 3 or self.size % 2 == 0:
            raise BadInput(f"size must be an odd number of at least 3, got {self.size}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the filter; a window passes its gradient to one of its values."""
        return Defended(Median(self), model)


class Median(nn.Module):
    """x [N, C, T] or [N, C, H, W] -> the same shape."""

    def __init__(self, options: MedianFilter) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        middle: Tensor = windows(x, self.options.size).median(-1).values
        return middle

    def surrogate(self) -> nn.Module:
        """The mean of the window."""
        return WindowMean(self.options.size)

    def extra_repr(self) -> str:
        return repr(self.options)


class WindowMean(nn.Module):
    """x [N, C, T] or [N, C, H, W] -> the mean of each window of `size`."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        return windows(x, self.size).mean(-1)


def windows(x: Tensor, size: int) -> Tensor:
    """x [N, C, T] or [N, C, H, W] -> [N, C, ..., values of the window around each place]."""
    reach = size // 2
    if x.ndim not in (3, 4) or min(x.shape[2:]) <= reach:
        raise BadInput(
            f"MedianFilter needs x [N, C, T] or [N, C, H, W] with sides above {reach}, got "
            f"{tuple(x.shape)}"
        )
    places = x.ndim - 2
    wide = pad(x, (reach, reach) * places, mode="reflect") if len(x) else _empty(x, reach)
    for side in range(places):
        wide = wide.unfold(2 + side, size, 1)
    return wide.flatten(-places)


def _empty(x: Tensor, reach: int) -> Tensor:
    """Padding refuses an empty batch."""
    return x.new_empty((*x.shape[:2], *(side + 2 * reach for side in x.shape[2:])))
