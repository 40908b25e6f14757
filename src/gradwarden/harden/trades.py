"""Training on clean samples and on how far the answer can be moved from the clean one.

Source: Zhang et al. 2019 (TRADES), arXiv:1901.08573, alg. 1 and sec. 5 (hyper-parameters).
Differs: any ball; points that a threat's constraints forbid are repaired first.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn, optim
from torch.nn.functional import log_softmax

from gradwarden.attack.gradient import input_gradient, usable
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
class TRADES:
    """Minimises loss(x) + `beta` KL(p(x) || p(x_adv)), where x_adv climbs the KL divergence.

    x_adv starts at x + `start` N(0, 1), in units of x, for at x itself the divergence has no
    gradient, and takes `steps` steps of `step_size` ball radii. A larger `beta` buys robust
    accuracy with clean accuracy. Costs about steps + 3 times plain training.
    """

    threat: Threat
    beta: float = 6.0
    steps: int = 10
    step_size: float = 0.25
    start: float = 1e-3
    epochs: int = 10
    loss: TrainingLoss = CROSS_ENTROPY

    def __post_init__(self) -> None:
        if not 0.0 <= self.beta < math.inf:
            raise BadInput(f"beta must be a finite number of at least 0, got {self.beta}")
        if self.steps < 1:
            raise BadInput(f"steps must be at least 1, got {self.steps}")
        if not 0.0 < self.step_size < math.inf:
            raise BadInput(f"step_size must be above 0, in ball radii, got {self.step_size}")
        if not 0.0 < self.start < math.inf:
            raise BadInput(f"start must be above 0, in units of x, got {self.start}")
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
            Course(self.epochs, self._objective, self.threat.check),
            model,
            loader,
            optimizer,
            on_progress=on_progress,
            seed=seed,
            first_epoch=first_epoch,
            watch=watch,
        )

    def _objective(self, model: nn.Module, batch: Batch) -> Tensor:
        with answering(model):
            x_adv = self._farthest(model, batch)
        clean = model(batch.x)
        return self.loss(clean, batch.y) + self.beta * divergence(clean, model(x_adv)).mean()

    def _farthest(self, model: nn.Module, batch: Batch) -> Tensor:
        x, threat = batch.x, self.threat
        with torch.no_grad():
            clean = model(x.clone())
        noise = Draws(batch.seed, batch.ids, "TRADES").normal(x)
        x_adv = threat.project(x + self.start * noise, x)
        for _ in range(self.steps):
            x_adv = x_adv.detach().requires_grad_()
            grad = input_gradient(divergence(clean, model(x_adv.clone())), x_adv)
            if grad is None:
                break
            x_adv = threat.step(x_adv.detach(), usable(grad), self.step_size, x)
        return threat.repair(x_adv.detach(), x)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """[N] KL(softmax p || softmax q) of logits [N, classes], differentiable in both."""
    log_p, log_q = log_softmax(p, 1), log_softmax(q, 1)
    return (log_p.exp() * (log_p - log_q)).sum(1)
