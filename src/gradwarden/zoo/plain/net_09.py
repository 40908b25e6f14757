"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

from torch import Tensor, nn

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """a [N, 10] -> [N, 10]."""

    def forward(self, a: Tensor) -> Tensor:
        return a * 1000.0


def build() -> nn.Module:
    return nn.Sequential(parts.images(), Stage())
