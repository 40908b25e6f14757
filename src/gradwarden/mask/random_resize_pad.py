"""Each image is shrunk a little, by chance, and put at a random place.

Source: Xie et al. 2018, arXiv:1711.01991, sec. 3.
Differs: the output keeps the input's size (there an image of 299 grows to at most 331), so that
any model takes it; size and place are drawn for each sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended


@dataclass(frozen=True, kw_only=True)
class RandomResizePad:
    """Sides become a random length from `smallest` times their own to their own; the rest is `fill`.

    Nearest-neighbour, every sample its own size and place. Draws come from PyTorch's global
    generator, as in a deployed model: `torch.manual_seed` freezes them.

    Claims: an attacker cannot know which of the many pictures the model will see.
    Breaks: gradients averaged over the draws (EOT); the surrogate is the picture of middle size.
    Cost: a gather; a few points of accuracy.
    """

    smallest: float = 299 / 331
    fill: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 < self.smallest <= 1.0:
            raise BadInput(f"smallest must be in (0, 1], as a share, got {self.smallest}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the random view; its gradient is right for one draw."""
        return Defended(RandomView(self), model)


class RandomView(nn.Module):
    """x [N, C, T] or [N, C, H, W] -> the same shape."""

    def __init__(self, options: RandomResizePad) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        _check(x)
        size = torch.rand(len(x), 1, device=x.device)  # the same for all sides
        place = torch.rand(len(x), x.ndim - 2, device=x.device)
        return view(x, self.options, size, place)

    def surrogate(self) -> nn.Module:
        """Middle size, in the middle."""
        return MiddleView(self.options)

    def extra_repr(self) -> str:
        return repr(self.options)


class MiddleView(nn.Module):
    """x [N, C, T] or [N, C, H, W] -> the view of middle size in the middle."""

    def __init__(self, options: RandomResizePad) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        _check(x)
        size = torch.full((len(x), 1), 0.5, device=x.device)
        return view(x, self.options, size, size.expand(-1, x.ndim - 2))


def _check(x: Tensor) -> None:
    if x.ndim not in (3, 4):
        raise BadInput(f"RandomResizePad needs x [N, C, T] or [N, C, H, W], got {tuple(x.shape)}")


def view(x: Tensor, options: RandomResizePad, size: Tensor, place: Tensor) -> Tensor:
    """`size` [N, 1] and `place` [N, sides] in [0, 1): from smallest to largest, first to last."""
    inside = torch.ones(len(x), 1, *x.shape[2:], dtype=torch.bool, device=x.device)
    for side in range(x.ndim - 2):
        whole = x.shape[2 + side]
        least = max(1, round(options.smallest * whole))
        length = least + (size * (whole - least + 1)).long()  # [N, 1]
        start = (place[:, side : side + 1] * (whole - length + 1)).long()
        at = torch.arange(whole, device=x.device) - start  # [N, whole]
        source = (at * whole).div(length, rounding_mode="floor").clamp(0, whole - 1)
        shape = [1] * x.ndim
        shape[0], shape[2 + side] = len(x), whole
        x = x.gather(2 + side, source.view(shape).expand_as(x))
        inside = inside & ((at >= 0) & (at < length)).view(shape)
    return torch.where(inside, x, options.fill)
