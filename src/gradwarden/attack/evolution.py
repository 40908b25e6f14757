"""A population for each sample that mutates and crosses over: for models without gradients.

Source: after MOEVA, Simonetto et al. 2021, arXiv:2112.01156 (evolution of feasible points by
feasibility, margin and distance).
Differs: one child a query instead of a generation; feasibility by repair, and margin before
distance in order, instead of Pareto fronts; a child competes with its parent alone (deterministic
crowding, Mahfoud 1995), which keeps the population apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from gradwarden.attack.losses import loss_of
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import per_sample
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

SPREAD = 0.5  # largest share of the elements that one mutation moves
TRIES = 2  # children drawn for one query: the first that is not its parent again is tried


@dataclass(frozen=True, kw_only=True)
class Evolution:
    """`queries` children of `population` points a sample; no gradient, one forward a query.

    Works for every threat; made for tables and trees.
    """

    queries: int = 300
    population: int = 6

    def __post_init__(self) -> None:
        if self.queries < 0:
            raise BadInput(f"queries must be at least 0, got {self.queries}")
        if self.population < 2:
            raise BadInput(f"population must be at least 2, got {self.population}")

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
        """x [N, ...], y [N] -> best point per sample, after at most `queries` + 1 forwards."""
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, threat, loss_of(threat.goal, "margin"), x, y, names)
        done = best = problem.start()
        draws, rows = problem.draws(seed, "Evolution"), torch.arange(len(x), device=x.device)
        pool = _Pool.of(best, self.population)
        for query in range(self.queries):
            left = best.left
            if len(left) < len(rows):
                done, rows, best = done.put(rows, best), rows[left], best.at(left)
                problem, pool, draws = problem.at(left), pool.at(left), draws.only(left.tolist())
            if not len(rows):
                break
            parent = query % self.population
            child = _child(pool, problem, draws, parent)
            with torch.no_grad():
                best, value = problem.score(best, child)
            holds = threat.feasible(child, problem.x) & ~value.isnan()
            size = threat.ball.size(child - problem.x)
            pool = pool.compete(parent, child, value.where(holds, float("-inf")), size)
        return done.put(rows, best)


class _Pool(NamedTuple):
    """P points a sample; all are x at first."""

    points: Tensor  # [N, P, ...]
    margin: Tensor  # [N, P]
    size: Tensor  # [N, P] of the change, as the ball measures it

    @classmethod
    def of(cls, best: Attacked, population: int) -> Self:
        points = torch.stack([best.x_adv] * population, 1)
        margin = torch.stack([best.margin] * population, 1)
        return cls(points, margin, torch.zeros_like(margin))

    def at(self, rows: Tensor) -> Self:
        return type(self)(*(part[rows] for part in self))

    def compete(self, parent: int, child: Tensor, margin: Tensor, size: Tensor) -> Self:
        """With the child [N, ...] in its parent's place where it is no worse."""
        equal = (margin == self.margin[:, parent]) & (size <= self.size[:, parent])
        better = (margin > self.margin[:, parent]) | equal
        parts = zip(self, (child, margin, size), strict=True)
        for part, new in parts:
            part[:, parent] = torch.where(per_sample(better, new), new, part[:, parent])
        return self


def _child(pool: _Pool, problem: Problem, draws: Draws, parent: int) -> Tensor:
    """[N, ...] repaired; mutated, and half of them crossed over with another of the pool before."""
    own = pool.points[:, parent]
    child = own
    for _ in range(TRIES):
        again = ~(child != own).flatten(1).any(1)
        crossed = _crossed(pool, own, draws)
        other = problem.threat.repair(_mutated(crossed, problem, draws), problem.x)
        child = other.where(per_sample(again, other), child)
    return child


def _crossed(pool: _Pool, own: Tensor, draws: Draws) -> Tensor:
    chance = draws.uniform(own, 2)
    mate = (chance[:, 0] * pool.points.shape[1]).long()
    other = pool.points[torch.arange(len(own), device=own.device), mate]
    taken = draws.uniform(own) < 0.5 * per_sample((chance[:, 1] < 0.5).to(own.dtype), own)
    return torch.where(taken, other, own)


def _mutated(point: Tensor, problem: Problem, draws: Draws) -> Tensor:
    """Some elements back at x, or all of them a step along some elements at random."""
    threat, x = problem.threat, problem.x
    low, high = threat.ends(x)
    free = (high > low).expand_as(x)
    chance = draws.uniform(x, 3)
    count = free.flatten(1).sum(1).clamp(min=1)
    most = (SPREAD * count).clamp(min=1)
    share = most ** chance[:, 0] / count  # log-uniform from one element to `most`
    score = draws.uniform(x).where(free, 2.0)
    first = score.flatten(1).amin(1)
    chosen = (score < per_sample(share, x)) | (score == per_sample(first, x))
    sign = draws.uniform(x).sub(0.5).sign()
    size = per_sample(torch.where(chance[:, 1] < 0.5, 2.0, 2 * chance[:, 1]), x)
    moved = threat.step(point, sign * chosen, size, x)
    back = per_sample(chance[:, 2] < 0.2, x)
    return torch.where(back, x.where(chosen, point), moved)
