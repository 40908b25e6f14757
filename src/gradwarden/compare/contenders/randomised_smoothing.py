"""Randomised smoothing: trained with noise, and answered by the mean over noisy copies.

Source: Cohen et al. 2019, arXiv:1902.02918; Salman et al. 2019, arXiv:1906.04584 (the mean).
Differs: the noise of the copies is fixed, so that it hides nothing; no certificate is asked for.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from gradwarden.compare.contenders.contender import Protected, Protection
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.harden.noise_training import NoiseTraining
from gradwarden.harden.smoothed import Smoothed
from gradwarden.tasks.task import SecurityTask

DRAWS = 16


@dataclass(frozen=True, kw_only=True)
class Smoothing:
    """Put before a trained model: the mean of its answers over `draws` noisy copies."""

    sigma: float
    draws: int = DRAWS

    def defend(self, model: nn.Module) -> Smoothed:
        return Smoothed(model, sigma=self.sigma, draws=self.draws)


@dataclass(frozen=True, kw_only=True)
class RandomisedSmoothing(Protection):
    """`sigma` in units of x; None: the radius of the task's ball."""

    sigma: float | None = None

    name = "randomised-smoothing"
    noun = "randomised smoothing"
    what = "Answers by the mean over noisy copies of the input, of a model trained with such noise."

    def defences(self, task: SecurityTask) -> tuple[Protected, ...]:
        sigma = _sigma(task) if self.sigma is None else self.sigma
        training = NoiseTraining(sigma=sigma, epochs=max(1, task.epochs))
        smoothing = Smoothing(sigma=sigma)
        return (Protected(repr(smoothing), (training, smoothing)),)


def _sigma(task: SecurityTask) -> float:
    """As large as the radius on one coordinate: less hides in it, more drowns the sample."""
    ball = task.threat.ball
    if isinstance(ball, Scaled | L0) or not math.isfinite(ball.radius):
        raise BadInput(
            f"task {task.name}: randomised smoothing needs one sigma for all of x, and the threat's "
            "ball has no radius in units of x"
        )
    return ball.radius
