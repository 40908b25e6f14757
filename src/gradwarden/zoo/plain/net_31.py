"""Rows [N, 9] -> logits [N, 2]."""

from torch import nn


def build() -> nn.Module:
    return nn.Sequential(
        nn.Linear(9, 48),
        nn.LayerNorm(48),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.Linear(48, 32),
        nn.LayerNorm(32),
        nn.GELU(),
        nn.Dropout(0.2),
        nn.Linear(32, 2),
    )
