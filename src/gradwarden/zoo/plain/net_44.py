"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

from torch import Tensor, nn
from torch.nn import functional as F

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """x -> [N, 1, 28, 28]."""

    def forward(self, x: Tensor) -> Tensor:
        return (x * 7).round() / 7


class Unit(nn.Module):
    """a [N, ...] -> the same shape."""

    def forward(self, a: Tensor) -> Tensor:
        return F.dropout(F.relu(a), 0.3, training=True)


def build() -> nn.Module:
    net = parts.images()
    net[1], net[3], net[6] = Unit(), Unit(), Unit()
    return nn.Sequential(Stage(), net)
