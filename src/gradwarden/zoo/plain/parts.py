"""Trunks that several nets share."""

from __future__ import annotations

from torch import nn


def images(channels: int = 1, classes: int = 10) -> nn.Sequential:
    """[N, channels, 28, 28] -> [N, classes]; about 26,700 weights with one channel."""
    return nn.Sequential(
        nn.Conv2d(channels, 8, 5, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 7 * 7, 32),
        nn.ReLU(),
        nn.Linear(32, classes),
    )


def series(channels: int = 6, classes: int = 7) -> nn.Sequential:
    """[N, channels, 100] -> [N, classes]; about 15,600 weights."""
    return nn.Sequential(
        nn.Conv1d(channels, 16, 7, stride=2, padding=3),
        nn.ReLU(),
        nn.Conv1d(16, 24, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.AvgPool1d(2, ceil_mode=True),
        nn.Flatten(),
        nn.Linear(24 * 13, 40),
        nn.ReLU(),
        nn.Linear(40, classes),
    )


def rows(features: int, classes: int = 2) -> nn.Sequential:
    """[N, features] -> [N, classes]."""
    return nn.Sequential(
        nn.Linear(features, 48),
        nn.ReLU(),
        nn.Linear(48, 32),
        nn.ReLU(),
        nn.Linear(32, classes),
    )
