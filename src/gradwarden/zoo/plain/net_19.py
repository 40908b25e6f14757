"""Rows [N, 9], whole numbers -> logits [N, 2]."""

import torch
from torch import Tensor, nn

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """x -> [N, 27]."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (3, 3, 3, 3, 3, 3, 3, 2, 2)
        self.parts = nn.ParameterList([torch.randn(size, 3) for size in sizes])

    def forward(self, x: Tensor) -> Tensor:
        at = x.round().long()
        found = [part[at[:, k].clamp(0, len(part) - 1)] for k, part in enumerate(self.parts)]
        return torch.cat(found, 1)


def build() -> nn.Module:
    return nn.Sequential(Stage(), parts.rows(27))
