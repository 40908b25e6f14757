"""Training on samples with Gaussian noise: the base model of randomised smoothing.

Source: Cohen et al. 2019, arXiv:1902.02918, sec. 3.3 and 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn, optim

from gradwarden.core.balls.l2 import L2
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
    check_epochs,
    train,
)
from gradwarden.harden.watch import Watch


@dataclass(frozen=True, kw_only=True)
class NoiseTraining:
    """Each sample gets fresh noise N(0, sigma^2) in each epoch, in units of x, cut off by no box.

    Costs as much as plain training. The model by itself resists a little; what resists provably is
    `RandomisedSmoothing(sigma=...)` of it, with the same sigma.
    """

    sigma: float
    epochs: int = 10
    loss: TrainingLoss = CROSS_ENTROPY

    def __post_init__(self) -> None:
        check_sigma(self.sigma)
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
        """Trains `model` in place, as `harden.training.train` says; x may have any finite range."""
        anywhere = Threat(ball=L2(self.sigma), box=(-math.inf, math.inf))
        return train(
            Course(self.epochs, self._objective, anywhere.check),
            model,
            loader,
            optimizer,
            on_progress=on_progress,
            seed=seed,
            first_epoch=first_epoch,
            watch=watch,
        )

    def _objective(self, model: nn.Module, batch: Batch) -> Tensor:
        noise = Draws(batch.seed, batch.ids, "NoiseTraining").normal(batch.x)
        return self.loss(model(batch.x + self.sigma * noise), batch.y)


def check_sigma(sigma: float) -> None:
    if not 0.0 < sigma < math.inf:
        raise BadInput(f"sigma must be a finite number above 0, in units of x, got {sigma}")
