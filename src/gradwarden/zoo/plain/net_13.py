"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

from torch import Tensor, nn

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """x -> [N, 1, 28, 28]."""

    def forward(self, x: Tensor) -> Tensor:
        small = 0.001 * x.flatten(1).mean(1).view(-1, 1, 1, 1)
        return x.detach() + (small - small.detach())


def build() -> nn.Module:
    return nn.Sequential(Stage(), parts.images())
