"""Ascent inside a ball that shrinks after a success and grows after a failure.

Source: Pintor et al. 2021, arXiv:2102.12827, alg. 1.
Differs: a step is a share of the ball's own extent, not of a fixed length, so that the box's scale
does not matter; where there is no gradient, the direction is random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gradwarden.attack.losses import loss_of
from gradwarden.attack.min_norm import Nearest, Shown, Trail, begin, drawn_in, follow
from gradwarden.attack.min_norm_steps import boxed, directed, faded, free
from gradwarden.attack.min_norm_units import FAR, Units, unbounded, units_of
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import clamped, gain, per_sample
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class FMN:
    """`steps` steps; the ball, L0, L1, L2 or Linf, is the threat's.

    `step_size` is the first step's length as a share of the ball's extent, `change` the first
    relative change of the radius; both fall like a cosine to a hundredth.
    """

    steps: int = 100
    step_size: float = 1.0
    change: float = 0.1

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadInput(f"steps must be at least 1, got {self.steps}")
        if not 0.0 < self.step_size < math.inf:
            raise BadInput(f"step_size must be above 0, as a share, got {self.step_size}")
        if not 0.0 < self.change < 1.0:
            raise BadInput(f"change must be in (0, 1), got {self.change}")

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        """x [N, ...], y [N] -> the first success inside the ball, else x itself."""
        radius = threat.ball.radius
        found = self.nearest(model, x, y, threat, seed=seed, ids=ids, enough=radius)
        return found.attacked(x, threat)

    def nearest(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
        enough: float = 0.0,
    ) -> Nearest:
        """As `MinimumNorm.nearest`, after `steps` passes each way and a line search."""
        units = units_of(threat, x, (0.0, 1.0, 2.0, math.inf), "FMN")
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, unbounded(threat), loss_of(threat.goal, "margin"), x, y, names)
        found, _ = begin(problem, enough)
        rows = found.left.nonzero()[:, 0]
        if not len(rows):
            return found
        some, before = problem.at(rows), found.at(rows)
        trail = Trail(some.x, torch.zeros_like(before.left), (torch.zeros_like(before.size),))
        near, _ = follow(some, before, trail, partial(self._move, units, seed), self.steps)
        return found.put(rows, drawn_in(some, before, near))

    def _move(
        self,
        units: Units,
        seed: int,
        problem: Problem,
        found: Nearest,
        shown: Shown,
        trail: Trail,
        number: int,
    ) -> Trail:
        x, fade = problem.x, faded(number, self.steps)
        low, high = ((end - x) / units.size for end in problem.threat.ends(x))
        delta = (trail.x_adv - x) / units.size
        grad = free(shown.grad * units.size, delta, low, high)
        most = units.ball.size(torch.maximum(-low, high).double()).clamp(max=FAR)
        radius = _radius(units, found, shown, grad, delta, trail.memory[0], self.change * fade)
        radius = radius.minimum(most)
        length = self.step_size * fade * _extent(units, radius, high - low)
        direction = directed(problem, grad, seed, number)
        direction = direction.sign() if units.p == math.inf else direction
        delta = delta + per_sample(length.to(x.dtype), x) * direction
        delta = _project(units, delta, low, high, radius)
        return trail._replace(
            x_adv=boxed(problem.threat, x + delta * units.size, x), memory=(radius,)
        )


def _radius(
    units: Units,
    found: Nearest,
    shown: Shown,
    grad: Tensor,
    delta: Tensor,
    radius: Tensor,
    change: float,
) -> Tensor:
    """[N] float64: smaller after a success, larger else; until the first one, as the slope says."""
    less, more = radius * (1 - change), radius * (1 + change)
    if units.p == 0.0:
        less = less.floor().minimum(radius - 1).clamp(min=1.0)
        more = more.floor().maximum(radius + 1)
    else:
        dual = {1.0: math.inf, 2.0: 2.0, math.inf: 1.0}[units.p]
        slope = torch.linalg.vector_norm(grad.flatten(1).double(), dual, dim=1)
        ahead = shown.value.double().abs() / slope.clamp(min=1e-300)
        guess = units.ball.size(delta.double()) + ahead.nan_to_num(nan=0.0)
        more = more.where(found.size.isfinite(), guess.maximum(more))
    return less.minimum(found.size).where(shown.hit, more)


def _extent(units: Units, radius: Tensor, width: Tensor) -> Tensor:
    """[N] how far the ball goes along a direction: of length 1 in L2, or of signs."""
    if units.p == 0.0:
        return radius.sqrt()
    if units.p == 1.0:
        return (radius * radius.clamp(max=float(width.double().mean()))).sqrt()
    return radius


def _project(units: Units, delta: Tensor, low: Tensor, high: Tensor, radius: Tensor) -> Tensor:
    """Inside the bounds and a ball of `radius` [N]."""
    if units.p == 0.0:
        order = gain(delta, low, high).flatten(1).argsort(1, descending=True)
        rank = torch.zeros_like(order).scatter(
            1, order, torch.arange(order.shape[1], device=order.device).expand_as(order)
        )
        return clamped(delta, low, high) * (rank < radius[:, None]).view_as(delta)
    one = per_sample(radius.clamp(min=1 / FAR).to(delta.dtype), delta)
    return units.ball.project(delta / one, low / one, high / one) * one
