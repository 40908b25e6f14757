"""Rows [N, 4] in [0, 1] -> logits [N, 2]."""

import torch
from torch import Tensor, nn

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """x -> [N, 4]."""

    at: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("at", torch.zeros(4, 15, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (x.unsqueeze(-1) >= self.at.to(x.dtype)).to(x.dtype).mean(-1)


def build() -> nn.Module:
    return nn.Sequential(Stage(), parts.rows(4))
