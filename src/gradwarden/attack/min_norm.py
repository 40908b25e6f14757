"""What the minimum-norm attacks share: the nearest success so far, and the loop that looks for it.

Source: Rony et al. 2019, arXiv:1811.09600, and Pintor et al. 2021, arXiv:2102.12827 (keep the
nearest success, per sample).
Differs: a sample leaves the batch once its success is near enough, or its search is over.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from gradwarden.attack.gradient import input_gradient, usable
from gradwarden.attack.memory import out_of_memory
from gradwarden.core.geometry import per_sample
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

SLACK = 1e-5  # relative, as the referee allows
HALVINGS = 8  # of the line from x to the nearest success, at the end


class Nearest(NamedTuple):
    """The nearest point that reached the goal, inside the box and feasible."""

    x_adv: Tensor  # [N, ...]; x where there is none
    size: Tensor  # [N] float64, its distance in the ball's norm; infinite where there is none
    margin: Tensor  # [N] in logits, of `x_adv`
    clean: Tensor  # [N] the margin of x
    enough: Tensor  # [N] float64: a search ends at a success no farther than this
    restart: Tensor  # [N] int
    forwards: Tensor  # [N] int
    backwards: Tensor  # [N] int
    infeasible: Tensor  # [N] bool: a point reached the goal that the constraints forbid

    @property
    def left(self) -> Tensor:
        """[N] bool: what is still searched for."""
        return ~(self.size.isfinite() & (self.size <= self.enough))

    def at(self, rows: Tensor) -> Self:
        """The samples `rows` [K] alone."""
        return type(self)(*(part[rows] for part in self))

    def put(self, rows: Tensor, some: Self) -> Self:
        """With the samples `rows` [K] replaced by `some`."""
        pairs = zip(self, some, strict=True)
        return type(self)(*(part.index_copy(0, rows, new) for part, new in pairs))

    def attacked(self, x: Tensor, threat: Threat) -> Attacked:
        """A success only inside the threat's ball; elsewhere x itself."""
        near = self.size.isfinite() & (self.size <= threat.ball.radius * (1 + SLACK))
        success = near & threat.allows(self.x_adv, x)
        margin = self.margin.where(success, self.clean)
        return Attacked(
            self.x_adv.where(per_sample(success, x), x.detach()),
            margin,
            success,
            margin,
            self.restart * success,
            self.forwards,
            self.backwards,
            self.infeasible,
        )


@runtime_checkable
class MinimumNorm(Protocol):
    """An attack that looks for the nearest success rather than for one inside the ball."""

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
        """x [N, ...], y [N]; a sample's search ends at a success no farther than `enough`.

        The threat's radius is no more than a scale to begin with.
        """
        ...


class Shown(NamedTuple):
    """What one look at N points showed."""

    x_adv: Tensor  # [N, ...] the points, repaired where the threat has constraints
    value: Tensor  # [N] the problem's loss
    grad: Tensor  # [N, ...] its gradient; 0 where there is none
    hit: Tensor  # [N] bool: the goal is reached at a feasible point


class Trail(NamedTuple):
    """Where a search stands."""

    x_adv: Tensor  # [N, ...] the points to look at next
    over: Tensor  # [N] bool: nothing more will be found
    memory: tuple[Tensor, ...] = ()  # of N rows each: what an attack keeps from step to step

    def at(self, rows: Tensor) -> Self:
        """The samples `rows` [K] alone."""
        return type(self)(self.x_adv[rows], self.over[rows], tuple(m[rows] for m in self.memory))

    def put(self, rows: Tensor, some: Self) -> Self:
        """With the samples `rows` [K] replaced by `some`."""
        pairs = zip(self.memory, some.memory, strict=True)
        return type(self)(
            self.x_adv.index_copy(0, rows, some.x_adv),
            self.over.index_copy(0, rows, some.over),
            tuple(old.index_copy(0, rows, new) for old, new in pairs),
        )


# problem, nearest so far, what the points of the trail showed, trail, number of the step -> trail
Move = Callable[[Problem, Nearest, Shown, Trail, int], Trail]


def begin(problem: Problem, enough: float) -> tuple[Nearest, Tensor]:
    """One forward at x -> nearest (x itself where the goal is reached there), logits."""
    with torch.no_grad():
        logits = problem.ask(problem.x)
        _, reached, margin = problem.see(logits)
    zero = torch.zeros(len(problem.x), dtype=torch.long, device=problem.x.device)
    far = zero.double()
    return Nearest(
        problem.x.detach(),
        far.masked_fill(~reached, math.inf),
        margin,
        margin,
        far + enough * (1 + SLACK),
        restart=zero,
        forwards=zero + 1,
        backwards=zero,
        infeasible=zero > 0,
    ), logits


def follow(
    problem: Problem, found: Nearest, trail: Trail, move: Move, steps: int, restart: int = 0
) -> tuple[Nearest, Trail]:
    """`steps` times a look with gradient and a move; the last point is looked at too."""
    done, ends, rows = found, trail, torch.arange(len(trail.over), device=trail.over.device)
    for number in range(steps):
        found, seen = _look(problem, found, trail.x_adv, restart)
        trail = move(problem, found, seen, trail, number)
        go_on = found.left & ~trail.over
        if not go_on.all():
            done, ends = done.put(rows, found), ends.put(rows, trail)
            left = go_on.nonzero()[:, 0]
            rows, found, trail, problem = (
                rows[left],
                found.at(left),
                trail.at(left),
                problem.at(left),
            )
        if not len(rows):
            return done, ends
    found, _ = score(problem, found, trail.x_adv, restart)
    return done.put(rows, found), ends.put(rows, trail)


def score(
    problem: Problem, found: Nearest, x_adv: Tensor, restart: int | Tensor = 0
) -> tuple[Nearest, Tensor]:
    """One forward at x_adv [N, ...], inside the box -> nearest so far, hit [N] bool."""
    with torch.no_grad():
        found, _, hit = _score(problem, found, problem.threat.repair(x_adv, problem.x), restart)
    return found, hit


def drawn_in(problem: Problem, before: Nearest, found: Nearest) -> Nearest:
    """Halves the line from x to each success nearer than `before`, to end at the boundary."""
    rows = (found.left & (found.size < before.size)).nonzero()[:, 0]
    if not len(rows):
        return found
    some, far, best = problem.at(rows), found.at(rows).x_adv, found.at(rows)
    low, high = torch.zeros_like(best.size), torch.ones_like(best.size)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        share = per_sample(middle.to(far.dtype), far)
        best, hit = score(some, best, some.x + share * (far - some.x), best.restart)
        low, high = low.where(hit, middle), middle.where(hit, high)
    return found.put(rows, best)


def _look(problem: Problem, found: Nearest, x_adv: Tensor, restart: int) -> tuple[Nearest, Shown]:
    """As `score`, with the gradient; a model that refuses a graph is asked again without one."""
    x_adv = problem.threat.repair(x_adv.detach(), problem.x).requires_grad_()
    try:
        with torch.enable_grad():
            found, value, hit = _score(problem, found, x_adv, restart)
            grad = input_gradient(value, x_adv)
    except RuntimeError as why:
        if out_of_memory(why):
            raise
        with torch.no_grad():
            found, value, hit = _score(problem, found, x_adv.detach(), restart)
        grad = None
    if grad is None:
        return found, Shown(x_adv.detach(), value.detach(), torch.zeros_like(x_adv), hit)
    found = found._replace(backwards=found.backwards + 1)
    return found, Shown(x_adv.detach(), value.detach(), usable(grad), hit)


def _score(
    problem: Problem, found: Nearest, x_adv: Tensor, restart: int | Tensor
) -> tuple[Nearest, Tensor, Tensor]:
    """Nearest so far, the loss [N] at x_adv [N, ...], still differentiable, and hit [N]."""
    value, reached, margin = problem.see(problem.ask(x_adv))
    feasible = problem.threat.feasible(x_adv, problem.x)
    size = problem.threat.ball.size(x_adv.detach().double() - problem.x.double())
    hit = reached & feasible & size.isfinite()
    nearer = hit & (size < found.size)
    return (
        found._replace(
            x_adv=x_adv.detach().where(per_sample(nearer, x_adv), found.x_adv),
            size=size.where(nearer, found.size),
            margin=margin.detach().where(nearer, found.margin),
            restart=torch.where(nearer, restart, found.restart),
            forwards=found.forwards + 1,
            infeasible=found.infeasible | (reached & ~feasible),
        ),
        value,
        hit,
    )
