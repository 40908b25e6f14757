"""Balls of another size."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.geometry import Ball
from gradwarden.core.threat import Threat


def resized(threat: Threat, factor: float) -> Threat | None:
    """`threat` in a ball of `factor` times the radius; None where there is no such ball."""
    ball = _resized(threat.ball, factor)
    return None if ball is None else replace(threat, ball=ball)


def _resized(ball: Ball, factor: float) -> Ball | None:
    if isinstance(ball, Scaled):
        inner = _resized(ball.ball, factor)
        return None if inner is None else replace(ball, ball=inner)
    if not math.isfinite(ball.radius):
        return None
    if isinstance(ball, L0):  # whole elements
        count = math.floor(ball.radius * factor)
        return L0(count) if count >= 1 else None
    other: Any = ball
    same: Ball = replace(other, radius=ball.radius * factor)
    return same


def covers(threat: Threat, x: Tensor) -> bool:
    """Whether the ball around each of x [N, ...] holds all that box and constraints leave open."""
    low, high = (end.expand_as(x) for end in threat.ends(x))
    farthest = torch.where(x - low > high - x, low, high)
    if not bool(farthest.isfinite().all()):
        return False
    size = threat.ball.size(farthest - x)  # infinite where no such ball has room for the change
    return bool((size.isfinite() & (size <= threat.ball.radius * (1 + 1e-6))).all())
