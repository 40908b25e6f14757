"""Training on the points of a single step from a random start.

Source: Wong et al. 2020 (RS-FGSM), arXiv:2001.03994, alg. 3; de Jorge et al. 2022 (N-FGSM),
arXiv:2202.01181, alg. 1.
Differs: any ball.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor, nn, optim

from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.core.threat import Threat
from gradwarden.harden.inner import gradient, widened
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
class FastTraining:
    """A draw from the ball of `noise` radii, then one step of `step_size` radii; minimises `loss`.

    The defaults are RS-FGSM; `noise=2.0, step_size=1.0, clip=False`, which leaves the point outside
    the ball, is N-FGSM; `noise=0.0, step_size=1.0` is plain FGSM training. Costs 2 times plain
    training. It may overfit to the single step all at once, and PGD then breaks every sample
    (catastrophic overfitting; plain FGSM nearly always, N-FGSM seldom): give a `watch`.
    """

    threat: Threat
    noise: float = 1.0
    step_size: float = 1.25
    clip: bool = True
    epochs: int = 15
    loss: TrainingLoss = CROSS_ENTROPY

    def __post_init__(self) -> None:
        if not 0.0 <= self.noise < math.inf:
            raise BadInput(f"noise must be at least 0, in ball radii, got {self.noise}")
        if not 0.0 < self.step_size < math.inf:
            raise BadInput(f"step_size must be above 0, in ball radii, got {self.step_size}")
        check_epochs(self.epochs)
        self._around()

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
        with answering(model):
            x_adv = self._one_step(model, batch)
        return self.loss(model(x_adv), batch.y)

    def _one_step(self, model: nn.Module, batch: Batch) -> Tensor:
        x, (first, last) = batch.x, self._around()
        draws = Draws(batch.seed, batch.ids, "FastTraining")
        start = x if first is None else first.sample(x, draws)
        grad = gradient(self.threat, model, start, batch.y)
        # The step is measured in the threat's own radii, whatever the point is projected into.
        share = self.step_size * self.threat.ball.radius / last.ball.radius
        return self.threat.repair(last.step(start, grad, share, x), x)

    def _around(self) -> tuple[Threat | None, Threat]:
        """Where the draw and where the final point may lie; without `clip`, as far as both reach."""
        first = widened(self.threat, self.noise) if self.noise else None
        last = self.threat if self.clip else widened(self.threat, self.noise + self.step_size)
        return first, last
