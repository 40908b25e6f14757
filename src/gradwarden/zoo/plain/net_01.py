"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

from torch import nn

from gradwarden.zoo.plain import parts


def build() -> nn.Module:
    return parts.images()
