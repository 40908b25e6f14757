"""The same threat with a larger ball."""

from __future__ import annotations

import math
from dataclasses import fields, is_dataclass, replace
from typing import cast

from torch import Tensor

from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.geometry import Ball
from gradwarden.core.threat import Threat


def grown(threat: Threat, factor: float) -> Threat:
    """With `factor` times the radius, in whole elements where the ball counts elements."""
    return replace(threat, ball=_grown(threat.ball, factor))


def unbounded(threat: Threat, x: Tensor) -> Threat | None:
    """With a ball that reaches across the box; None where there is no end to either."""
    low, high = threat.ends(x)
    width = (high - low).expand_as(x)
    size = float(threat.ball.size(width).max())
    if not (math.isfinite(size) and math.isfinite(threat.ball.radius)):
        return None
    return grown(threat, max(1.0, size / threat.ball.radius))


def _grown(ball: Ball, factor: float) -> Ball:
    if isinstance(ball, Scaled):
        return Scaled(_grown(ball.ball, factor), ball.units)
    if is_dataclass(ball) and any(field.name == "radius" for field in fields(ball)):
        kind = type(ball.radius)  # L0 counts elements
        return cast(Ball, replace(ball, radius=kind(ball.radius * factor)))
    return Scaled(ball, factor)
