"""Series [N, 6, 100] in [0, 1] -> logits [N, 7]."""

from torch import nn

from gradwarden.zoo.plain import parts


def build() -> nn.Module:
    return parts.series()
