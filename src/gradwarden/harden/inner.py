"""What the trainers share that build their own points instead of running an attack."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gradwarden.attack.gradient import input_gradient, usable
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.search import Model
from gradwarden.core.threat import Threat


def gradient(threat: Threat, model: Model, x: Tensor, y: Tensor) -> Tensor:
    """The input gradient [N, ...] of the goal's loss; 0 where the model gives none."""
    x = x.detach().requires_grad_()
    with torch.enable_grad():
        grad = input_gradient(threat.goal.loss(model(x.clone()), y), x)
    return torch.zeros_like(x) if grad is None else usable(grad)


def widened(threat: Threat, factor: float) -> Threat:
    """The same threat with the ball of `factor` times the radius, `factor` above 0."""
    return threat if factor == 1.0 else replace(threat, ball=_grown(threat.ball, factor))


def _grown(ball: Ball, factor: float) -> Ball:
    if isinstance(ball, Scaled):
        return replace(ball, ball=_grown(ball.ball, factor))
    if isinstance(ball, Linf | L1 | L2):
        return type(ball)(ball.radius * factor)
    raise BadInput(
        f"{ball!r} has no ball of {factor:g} times its size, so noise must be 0 or 1 and clip True"
    )
