"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

import torch
from torch import Tensor, nn


class Unit(nn.Module):
    """a [N, C, ...] -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("a", "b"):
            self.register_buffer(name, torch.zeros(channels, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        a, b = (
            self.get_buffer(name).to(z.dtype).view(-1, *[1] * (z.ndim - 2)) for name in ("a", "b")
        )
        return torch.where((z - a).abs() < 0.2 * b, a, z).relu()


def build() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2, padding=1),
        Unit(8),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        Unit(16),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 32),
        Unit(32),
        nn.Linear(32, 10),
    )
