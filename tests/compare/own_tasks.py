"""Tasks as a user writes them, so small that a whole comparison takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Evades
from gradwarden.core.threat import Threat
from gradwarden.tasks.loader import Split
from gradwarden.tasks.task import Metric, SecurityTask, TrainingTask

WEIGHTS, OFFSET = (2.0, -1.0), 0.5
FOUND, WRONG = Metric("recall", "share", True), Metric("false-positive rate", "share", False)


@dataclass(frozen=True, kw_only=True)
class Slope(TrainingTask):
    """A quartic well, which plain SGD leaves for good above some rate, and a clipped one does not."""

    steps: int = 40

    name = "slope"
    metrics = (Metric("error", "squared", False),)
    optimizer = "SGD"
    rate = 0.04
    target = 0.5

    def model(self, seed: int) -> nn.Module:
        model = nn.Linear(1, 1, bias=False)
        nn.init.constant_(model.weight, 3.0 + 0.1 * seed)
        return model

    def batches(self, seed: int, model: nn.Module) -> Iterator[Tensor]:
        rng = torch.Generator().manual_seed(seed)
        while True:
            yield 1.0 + 0.1 * torch.rand(4, 1, generator=rng)

    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        loss: Tensor = (model(batch) - 1.0).pow(4).mean() + 0.1 * model(batch).square().mean()
        return loss

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        with torch.no_grad():
            return {"error": float(self.loss(model, torch.ones(1, 1)))}


@dataclass(frozen=True, kw_only=True)
class Flags(SecurityTask):
    """A plane through points in the square; label 1 evades it. `epochs` 0 leaves it as it is."""

    epochs: int = 0
    radius: float = 0.3
    threshold: float = 0.0
    samples: int = 40

    name = "flags"
    metrics = (FOUND, WRONG)
    classes = ("fine", "bad")
    batch = 50
    rate = 0.01

    @property
    def threat(self) -> Threat:
        return Threat(ball=Linf(self.radius), box=(-1.0, 1.0), goal=Evades(source=1))

    def threat_on(self, model: nn.Module) -> Threat:
        goal = Evades(source=1, threshold=self.threshold)
        return Threat(ball=Linf(self.radius), box=(-1.0, 1.0), goal=goal)

    def model(self, seed: int) -> nn.Module:
        model = nn.Linear(2, 2)
        with torch.no_grad():
            model.weight.copy_(torch.tensor([[0.0, 0.0], list(WEIGHTS)]))
            model.bias.copy_(torch.tensor([0.0, OFFSET]))
        return model

    def split(self, name: str) -> Split:
        rng = torch.Generator().manual_seed(len(name))
        x = 1.6 * torch.rand(100, 2, generator=rng) - 0.8
        return Split(x, (x @ torch.tensor(WEIGHTS) > 0).long())

    def held_out(self) -> Split:
        x, y = self.split("test")
        return Split(x[y == 1][: self.samples], y[y == 1][: self.samples])
