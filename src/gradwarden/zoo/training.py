"""How the zoo's models are trained: a fixed order of batches, Adam, the rate falling to 0."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import torch
from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy

from gradwarden.zoo.definition import Samples

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]  # model, x, y -> a number


class Batches:
    """Shuffled batches of `samples`; each pass is another order, the same in every run."""

    def __init__(self, samples: Samples, size: int = 64) -> None:
        self._samples, self._size = samples, size
        self._rng = torch.Generator().manual_seed(0)

    def __len__(self) -> int:
        return math.ceil(len(self._samples.y) / self._size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        order = torch.randperm(len(self._samples.y), generator=self._rng)
        for part in order.split(self._size):
            yield self._samples.x[part], self._samples.y[part]


def adam(parameters: Iterable[nn.Parameter], rate: float = 2e-3) -> optim.Optimizer:
    return optim.Adam(parameters, rate)


def plain_loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return cross_entropy(model(x), y)


def fit(
    model: nn.Module,
    samples: Samples,
    *,
    epochs: int = 10,
    rate: float = 3e-3,
    loss: Loss = plain_loss,
) -> nn.Module:
    """Trains in place; returned in eval mode."""
    model.train()
    batches = Batches(samples)
    optimizer = adam(model.parameters(), rate)
    schedule = optim.lr_scheduler.OneCycleLR(
        optimizer, max_lr=rate, total_steps=epochs * len(batches), cycle_momentum=False
    )
    for _ in range(epochs):
        for x, y in batches:
            optimizer.zero_grad()
            loss(model, x, y).backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def plainly(epochs: int = 10) -> Callable[[nn.Module, Samples], nn.Module]:
    return partial(fit, epochs=epochs)


def in_small_noise(model: nn.Module, samples: Samples) -> nn.Module:
    """For motion: without it, accuracy on other people differs by points from run to run."""

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(model(x + 0.05 * torch.randn_like(x)), y, label_smoothing=0.1)

    return fit(model, samples, epochs=12, rate=1e-3, loss=loss)
