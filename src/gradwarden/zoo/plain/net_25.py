"""Rows [N, 9] -> logits [N, 2]."""

from torch import nn

from gradwarden.zoo.plain import parts


def build() -> nn.Module:
    return parts.rows(9)
