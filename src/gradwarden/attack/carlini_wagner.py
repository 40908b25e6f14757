"""The shortest change that a margin is worth, found by gradient descent and a search for its price.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. V and VI (L2; change of variable; Adam).
Differs: descent is stopped for each sample by itself, not for the batch; lengths are in units of
the box's mean width, so that its scale does not matter; values at the box's ends begin at 0.999 of
them, not 0.999999, where Adam needs hundreds of steps to move them; every point is tried, and the
line to x at the end is halved.
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
from gradwarden.attack.min_norm_steps import boxed
from gradwarden.attack.min_norm_units import Units, lengths_of, unbounded
from gradwarden.core.bounds import tensor_of
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import per_sample
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

EDGE = 0.999  # how near to the box's ends x begins: tanh has no slope there, nor a way back
BETAS = (0.9, 0.999)  # of Adam
CHECKS = 10  # times in a descent that it must have gained, or else it ends
GAIN = 1e-4  # relative
CEILING = 1e9  # a price above it has found nothing


@dataclass(frozen=True, kw_only=True)
class CarliniWagner:
    """`searches` descents of `steps` steps in L2, each at another price of the margin.

    The price begins at `price`, rises tenfold until a descent succeeds, and is halved in between
    after. `rate` is Adam's, in the variable whose tanh spans the box, and less where the threat's ball
    is smaller than the box; `confidence` is the margin,
    in logits, beyond which no more is paid. A success in another ball is as near as that ball says.
    The box must be finite.
    """

    searches: int = 9
    steps: int = 200
    rate: float = 0.05
    price: float = 1e-3
    confidence: float = 0.0

    def __post_init__(self) -> None:
        for name in ("searches", "steps"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("rate", "price"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise BadInput(f"{name} must be above 0, got {getattr(self, name)}")
        if not 0.0 <= self.confidence < math.inf:
            raise BadInput(f"confidence must be at least 0, in logits, got {self.confidence}")

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
        """As `MinimumNorm.nearest`, after at most `searches` x `steps` passes each way."""
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, unbounded(threat), loss_of(threat.goal, "margin"), x, y, names)
        low, high = (tensor_of(end, x) for end in threat.box)
        width = high - low
        if not width.isfinite().all():
            raise BadInput(f"CarliniWagner needs a box with finite ends, got {threat.box}")
        units = lengths_of(threat, x)
        pace = (2 * threat.ball.reach(width) * units.size / width).clamp(max=1.0) * self.rate
        units = units._replace(size=units.size * (width / units.size).mean())
        found, _ = begin(problem, enough)
        price = torch.full_like(found.size, self.price)
        lower, upper = torch.zeros_like(price), torch.full_like(price, math.inf)
        start = found
        for _ in range(self.searches):
            rows = (found.left & (price < CEILING)).nonzero()[:, 0]
            if not len(rows):
                break
            near, hit = self._descend(problem.at(rows), found.at(rows), price[rows], units, pace)
            found = found.put(rows, near)
            above, below = upper[rows].where(~hit, price[rows]), lower[rows].where(hit, price[rows])
            upper, lower = upper.index_copy(0, rows, above), lower.index_copy(0, rows, below)
            between = ((below + above) / 2).where(above.isfinite(), below * 10)
            price = price.index_copy(0, rows, between)
        return drawn_in(problem, start, found)

    def _descend(
        self, problem: Problem, found: Nearest, price: Tensor, units: Units, pace: Tensor
    ) -> tuple[Nearest, Tensor]:
        """One descent at `price` [N] -> nearest so far, whether it succeeded [N]."""
        low, high = problem.threat.ends(problem.x)
        share = (2 * (problem.x - low) / (high - low) - 1) * EDGE
        zero, none = torch.zeros_like(problem.x), torch.zeros_like(found.left)
        best = torch.full_like(price, math.inf)
        memory = (torch.atanh(share), zero, zero, price, best, none)
        x_adv = _inside(problem, memory[0])
        trail = Trail(x_adv, none, memory)
        move = partial(self._move, units, pace)
        found, trail = follow(problem, found, trail, move, self.steps)
        return found, trail.memory[-1]

    def _move(
        self,
        units: Units,
        pace: Tensor,
        problem: Problem,
        found: Nearest,
        shown: Shown,
        trail: Trail,
        number: int,
    ) -> Trail:
        """One step of Adam; elementwise, so that no sample depends on another."""
        free, mean, square, price, before, hit = trail.memory
        low, high = problem.threat.ends(problem.x)
        delta = (trail.x_adv - problem.x) / units.size
        short = self.confidence - shown.value
        paid = per_sample((price * (short > 0)).to(delta.dtype), delta)
        slope = (high - low) / 2 * (1 - free.tanh().square())
        grad = (2 * delta / units.size - paid * shown.grad) * slope
        mean = BETAS[0] * mean + (1 - BETAS[0]) * grad
        square = BETAS[1] * square + (1 - BETAS[1]) * grad.square()
        first, second = (1 - beta ** (number + 1) for beta in BETAS)
        free = free - pace * (mean / first) / ((square / second).sqrt() + 1e-8)
        over = trail.over
        if number % max(1, self.steps // CHECKS) == 0:
            total = units.ball.size(delta.double()).square() + price * short.double().clamp(min=0.0)
            over, before = ~(total < before * (1 - GAIN)), total
        memory = (free, mean, square, price, before, hit | shown.hit)
        return Trail(_inside(problem, free), over, memory)


def _inside(problem: Problem, free: Tensor) -> Tensor:
    """[N, ...] in the box for any `free` [N, ...]."""
    low, high = problem.threat.ends(problem.x)
    return boxed(problem.threat, low + (high - low) * (free.tanh() + 1) / 2, problem.x)
