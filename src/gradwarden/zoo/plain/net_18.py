"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

import torch
from torch import Tensor, nn

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """x -> [N, 1, 28, 28]."""

    def forward(self, x: Tensor) -> Tensor:
        size, place = torch.rand(len(x), 1), torch.rand(len(x), 2)
        length = 20 + (size * 9).long()  # 20 to 28
        inside = torch.ones(len(x), 1, 28, 28, dtype=torch.bool)
        for side in (0, 1):
            start = (place[:, side : side + 1] * (29 - length)).long()
            at = torch.arange(28) - start
            source = (at * 28).div(length, rounding_mode="floor").clamp(0, 27)
            shape = (-1, 1, 28, 1) if side == 0 else (-1, 1, 1, 28)
            x = x.gather(2 + side, source.view(shape).expand_as(x))
            inside = inside & ((at >= 0) & (at < length)).view(shape)
        return torch.where(inside, x, 0.0)


def build() -> nn.Module:
    return nn.Sequential(Stage(), parts.images())
