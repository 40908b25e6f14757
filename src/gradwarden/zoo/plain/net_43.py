"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradwarden.zoo.plain import parts


class Unit(nn.Module):
    """x -> [N, 1, 28, 28]."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.body = nn.ModuleList(
            [
                nn.Conv2d(1, width, 3, padding=1),
                nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
                nn.Conv2d(2 * width, 2 * width, 3, padding=1),
                nn.Conv2d(3 * width, width, 3, padding=1),
                nn.Conv2d(width, 1, 3, padding=1),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        a, b, c, d, e = self.body
        high = F.relu(a(x))
        low = F.relu(c(F.relu(b(high))))
        low = F.interpolate(low, size=(28, 28))
        more: Tensor = e(F.relu(d(torch.cat((high, low), dim=1))))
        return x + more


class Stage(nn.Module):
    """x -> [N, 1, 28, 28]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([Unit(), Unit(), Unit()])

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.body[int(torch.randint(3, ()))](x)
        return found


def build() -> nn.Module:
    return nn.Sequential(Stage(), parts.images())
