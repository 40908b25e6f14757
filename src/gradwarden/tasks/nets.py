"""Small nets that several tasks share, with weights that depend on seed and task alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from gradwarden.core.draws import seed_of


@contextmanager
def weights(seed: int, name: str) -> Iterator[None]:
    """Within, torch draws from the seed of the task called `name`; after, as if nothing was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed_of(seed, name, "weights"))
        yield


class Standardised(nn.Module):
    """x [N, D] -> (x - mean) / deviation, which come from the training split x [M, D]."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, x: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", x.mean(0))
        self.register_buffer("deviation", x.std(0).clamp(min=1e-6))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.deviation


def perceptron(x: Tensor, *, hidden: int, classes: int = 2) -> nn.Sequential:
    """Two hidden layers over the standardised columns of a table like x [M, D]."""
    return nn.Sequential(
        Standardised(x),
        nn.Linear(x.shape[1], hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, classes),
    )


def convolutional(shape: tuple[int, int, int], *, width: int, classes: int) -> nn.Sequential:
    """Images [N, C, H, W] of `shape` C, H, W in [0, 1] -> logits; three convolutions."""
    channels, rows, columns = shape
    cells = -(-rows // 4) * -(-columns // 4)
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(2 * width, 2 * width, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(2 * width * cells, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )
