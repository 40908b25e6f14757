"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """x -> [N, 1, 28, 28]."""

    a: Tensor
    b: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("a", torch.zeros(64, 4))
        self.register_buffer("b", torch.zeros(()))

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        a = self.a.to(x.dtype)
        cells = F.pixel_unshuffle(x, 2)
        which = torch.cdist(cells.flatten(2).transpose(1, 2).contiguous(), a[None]).argmin(2)
        return F.pixel_shuffle(a[which].transpose(1, 2).contiguous().view_as(cells), 2)


def build() -> nn.Module:
    return nn.Sequential(Stage(), parts.images())
