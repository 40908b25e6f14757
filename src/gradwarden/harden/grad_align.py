"""Single-step training that keeps the input gradient the same all over the ball.

Source: Andriushchenko & Flammarion 2020 (GradAlign), arXiv:2007.02617, sec. 5.
Differs: any ball; a sample without a gradient counts as not aligned (the authors' code takes 0/0 as
a cosine of 1, so that a hidden gradient looks perfect); both gradients are taken in eval mode.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim
from torch.func import functional_call

from gradwarden.attack.gradient import usable
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.core.threat import Threat
from gradwarden.harden.training import (
    CROSS_ENTROPY,
    Batch,
    Batches,
    Course,
    TrainingLoss,
    answering,
    check_epochs,
    train,
)
from gradwarden.harden.watch import Watch


@dataclass(frozen=True, kw_only=True)
class GradAlign:
    """FGSM training plus `weight` (1 - cos(g(x), g(x + eta))), eta a random point of the ball.

    g is the input gradient of the goal's loss. Where the two point the same way the loss is about
    linear in the ball, and one step of `step_size` radii is enough. Costs about 5 times plain
    training, for it is differentiated twice: activations should have a second derivative, or be
    piecewise linear.
    """

    threat: Threat
    weight: float = 0.2
    step_size: float = 1.0
    epochs: int = 15
    loss: TrainingLoss = CROSS_ENTROPY

    def __post_init__(self) -> None:
        if not 0.0 <= self.weight < math.inf:
            raise BadInput(f"weight must be a finite number of at least 0, got {self.weight}")
        if not 0.0 < self.step_size < math.inf:
            raise BadInput(f"step_size must be above 0, in ball radii, got {self.step_size}")
        check_epochs(self.epochs)

    def fit(
        self,
        model: nn.Module,
        loader: Batches,
        optimizer: optim.Optimizer,
        *,
        on_progress: Progress | None = None,
        seed: int = 0,
        first_epoch: int = 0,
        watch: Watch | None = None,
    ) -> nn.Module:
        """Trains `model` in place, as `harden.training.train` says; x lie in the threat's box."""
        return train(
            Course(self.epochs, self._objective, self.threat.check, one_step=True),
            model,
            loader,
            optimizer,
            on_progress=on_progress,
            seed=seed,
            first_epoch=first_epoch,
            watch=watch,
        )

    def _objective(self, model: nn.Module, batch: Batch) -> Tensor:
        x, threat = batch.x, self.threat
        near = threat.sample(x, Draws(batch.seed, batch.ids, "GradAlign"))
        with answering(model):
            here, there = self._slope(model, x, batch.y), self._slope(model, near, batch.y)
        x_adv = threat.step(x, usable(here.detach()), self.step_size, x)
        bent = 1 - cosine(here, there).mean()
        return self.loss(model(threat.repair(x_adv, x)), batch.y) + self.weight * bent

    def _slope(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """The input gradient [N, ...], itself differentiable in the weights."""
        x = x.detach().requires_grad_()
        # On copies of batch norm's averages: the step in train mode writes over them, unseen by
        # autograd, before this graph is differentiated.
        averages = {name: value.clone() for name, value in model.named_buffers()}
        value = self.threat.goal.loss(functional_call(model, averages, (x.clone(),)), y).sum()
        if not value.requires_grad:
            return torch.zeros_like(x)
        (grad,) = torch.autograd.grad(value, x, create_graph=True, allow_unused=True)
        return torch.zeros_like(x) if grad is None else grad


def cosine(a: Tensor, b: Tensor) -> Tensor:
    """[N] between a and b [N, ...], whatever their scale; 0, with gradient 0, where one is 0."""
    a, b = _unit(a.flatten(1)), _unit(b.flatten(1))
    return (a * b).sum(1)


def _unit(v: Tensor) -> Tensor:
    top = v.detach().abs().amax(1, keepdim=True)
    some = top > 0
    v = v / top.where(some, 1.0)  # so that squares neither overflow nor vanish
    length = v.square().sum(1, keepdim=True).where(some, 1.0).sqrt()
    return (v / length).where(some, 0.0)
