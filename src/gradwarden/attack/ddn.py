"""The direction follows the gradient, the length shrinks after a success and grows after a failure.

Source: Rony et al. 2019, arXiv:1811.09600, alg. 1.
Differs: the first length is that of the threat's own step, a step is a share of the length, so that
the box's scale does not matter; the length changes by a tenth, not a twentieth, which is as good on
images and forgives a first length that is far off; values are not rounded to 256 levels; elements that the box stops
are left out of the direction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gradwarden.attack.losses import check_loss, loss_of
from gradwarden.attack.min_norm import Nearest, Shown, Trail, begin, drawn_in, follow
from gradwarden.attack.min_norm_steps import boxed, directed, faded, free
from gradwarden.attack.min_norm_units import Units, lengths_of, unbounded
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import per_sample
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class DDN:
    """`steps` steps in L2; a success in another ball is as near as that ball says.

    `step_size` is the first step's share of the length, and falls like a cosine to a hundredth;
    `change` is the relative change of the length at each step; `loss` as in `PGD`.
    """

    steps: int = 100
    step_size: float = 1.0
    change: float = 0.1
    loss: str = "cross-entropy"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadInput(f"steps must be at least 1, got {self.steps}")
        if not 0.0 < self.step_size < math.inf:
            raise BadInput(f"step_size must be above 0, as a share, got {self.step_size}")
        if not 0.0 < self.change < 1.0:
            raise BadInput(f"change must be in (0, 1), got {self.change}")
        check_loss(self.loss)

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
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, unbounded(threat), loss_of(threat.goal, self.loss), x, y, names)
        found, _ = begin(problem, enough)
        rows = found.left.nonzero()[:, 0]
        if not len(rows):
            return found
        some, before = problem.at(rows), found.at(rows)
        trail = Trail(some.x, torch.zeros_like(before.left), (torch.zeros_like(before.size),))
        move = partial(self._move, lengths_of(threat, x), threat, seed)
        near, _ = follow(some, before, trail, move, self.steps)
        return found.put(rows, drawn_in(some, before, near))

    def _move(
        self,
        units: Units,
        threat: Threat,
        seed: int,
        problem: Problem,
        found: Nearest,
        shown: Shown,
        trail: Trail,
        number: int,
    ) -> Trail:
        x, (length,) = problem.x, trail.memory
        low, high = ((end - x) / units.size for end in problem.threat.ends(x))
        delta = (trail.x_adv - x) / units.size
        grad = free(shown.grad * units.size, delta, low, high)
        direction = directed(problem, grad, seed, number)
        if number == 0:
            step = threat.reach(x) * threat.ball.steepest(direction / units.size)
            length = units.ball.size((step / units.size).double())
        length = length * (1 + self.change * torch.where(shown.hit, -1.0, 1.0))
        one = per_sample(length.to(x.dtype), x)
        delta = delta + self.step_size * faded(number, self.steps) * one * direction
        delta = one * units.ball.steepest(delta)
        return trail._replace(
            x_adv=boxed(problem.threat, x + delta * units.size, x), memory=(length,)
        )
