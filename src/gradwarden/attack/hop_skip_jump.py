"""HopSkipJump: an attack that sees nothing but the class that a model answers.

Source: Chen et al. 2020, arXiv:1904.02144, alg. 1 and 2, sec. 4.
Differs: a sample ends once its point lies in the ball; searches stop where the numbers' precision
does; first points are random in brightness and blended with x, since a model may see one and the
same class in all uniform noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from gradwarden.attack.asking import about, portions
from gradwarden.attack.gradient import look
from gradwarden.attack.losses import loss_of
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import per_sample, tiny
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

FINEST = 20  # halvings of the way to x at most: float32 holds little more
HALVINGS = 25  # of a step, until it ends at the goal
OPEN = 10.0  # ball radii that first points are away where the box is open


class Edge(NamedTuple):
    """N points that reach the goal, on their way to x."""

    problem: Problem
    best: Attacked
    point: Tensor  # [N, ...]
    draws: Draws

    def at(self, rows: Tensor) -> Self:
        return type(self)(
            self.problem.at(rows),
            self.best.at(rows),
            self.point[rows],
            self.draws.only(rows.tolist()),
        )

    def spent(self, queries: int) -> Self:
        return self._replace(best=self.best._replace(forwards=self.best.forwards + queries))


@dataclass(frozen=True, kw_only=True)
class HopSkipJump:
    """`steps` steps along the edge of the goal towards x, each from `first` sqrt(step) decisions.

    At most `most` decisions a step, and `tries` to find a first point. Linf and L2 only. The margin
    is recorded, never used.
    """

    steps: int = 64
    first: int = 100
    most: int = 10_000
    tries: int = 100

    def __post_init__(self) -> None:
        for name, least in (("steps", 0), ("first", 2), ("most", 2), ("tries", 1)):
            if getattr(self, name) < least:
                raise BadInput(f"{name} must be at least {least}, got {getattr(self, name)}")

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
        """x [N, ...], y [N] -> a point in the ball per sample that was reached, else the best seen.

        Raises BadInput for other balls.
        """
        if not isinstance(threat.ball, Linf | L2):
            raise BadInput(f"HopSkipJump needs a ball Linf or L2, got {threat.ball!r}")
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, threat, loss_of(threat.goal, "margin"), x, y, names)
        done = problem.start()
        rows = done.left
        draws = problem.draws(seed, "HopSkipJump").only(rows.tolist())
        some = problem.at(rows)
        edge, found = self._begin(Edge(some, done.at(rows), some.x, draws))
        done = done.put(rows, edge.best)
        rows, edge = rows[found], edge.at(found)
        for step in range(self.steps + 1):
            if not len(rows):
                break
            edge = _search(edge)
            near = threat.project(edge.point, edge.problem.x)
            edge = edge._replace(best=look(edge.best, edge.problem, near))
            done, left = done.put(rows, edge.best), edge.best.left
            rows, edge = rows[left], edge.at(left)
            if step < self.steps and len(rows):
                edge = self._jump(edge, step)
        return done.put(rows, edge.best)

    def _begin(self, edge: Edge) -> tuple[Edge, Tensor]:
        """A first point each that reaches the goal -> with the rows [K] that have one."""
        point, spent = edge.point.clone(), torch.zeros_like(edge.best.forwards)
        left = torch.arange(len(point), device=point.device)
        for number in range(self.tries):
            if not len(left):
                break
            some = edge.at(left)
            tried = _blended(some, ends_only=number % 2 == 1)
            reached = about(some.problem, tried[None]).reached[0]
            spent[left] += 1
            point[left[reached]] = tried[reached]
            left = left[~reached]
        found = torch.ones(len(point), dtype=torch.bool, device=point.device)
        found[left] = False
        best = edge.best._replace(forwards=edge.best.forwards + spent)
        return edge._replace(point=point, best=best), found.nonzero()[:, 0]

    def _jump(self, edge: Edge, step: int) -> Edge:
        """Off the edge along its estimated normal, as far as the goal is still reached."""
        problem, ball = edge.problem, edge.problem.threat.ball
        away = ball.size(edge.point - problem.x)
        count = min(math.ceil(self.first * math.sqrt(step + 1)), self.most)
        normal = _normal(edge, _radius(edge, away, step), count)
        along = ball.steepest(normal)
        low, high = problem.threat.ends(problem.x)
        length = away / math.sqrt(step + 1)
        point, waits = edge.point, torch.ones_like(length, dtype=torch.bool)
        spent = torch.zeros_like(edge.best.forwards)
        for _ in range(HALVINGS):
            rows = waits.nonzero()[:, 0]
            if not len(rows):
                break
            tried = (edge.point + per_sample(length, point) * along).clamp(low, high)[rows]
            reached = about(problem.at(rows), tried[None]).reached[0]
            spent[rows] += 1
            point = point.index_copy(0, rows[reached], tried[reached])
            waits[rows[reached]] = False
            length = torch.where(waits, length / 2, length)
        best = edge.best._replace(forwards=edge.best.forwards + spent)
        return edge._replace(point=point, best=best).spent(count)


def _blended(edge: Edge, *, ends_only: bool) -> Tensor:
    """[N, ...] noise of random brightness blended with x; of the box's two ends, or in between."""
    x, threat = edge.problem.x, edge.problem.threat
    low, high = threat.ends(x)
    far = OPEN * threat.ball.radius
    low, high = low.where(low.isfinite(), x - far), high.where(high.isfinite(), x + far)
    blend, bright = (per_sample(u, x) for u in edge.draws.uniform(x, 2).unbind(1))
    noise = edge.draws.uniform(x)
    noise = (noise < bright).to(x) if ends_only else noise ** (4.0 ** (1 - 2 * bright))
    return x + (1 - blend) * (low + (high - low) * noise - x)


def _search(edge: Edge) -> Edge:
    """Halves the way to x until the point is at the edge, on the goal's side."""
    problem, point = edge.problem, edge.point
    away = problem.threat.ball.size(point - problem.x)
    low, high = torch.zeros_like(away), torch.ones_like(away)
    times = min(math.ceil(-math.log2(_fineness(problem))), FINEST)
    for _ in range(times):
        middle = (low + high) / 2
        reached = about(problem, _between(problem, point, away, middle)[None]).reached[0]
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return edge._replace(point=_between(problem, point, away, high)).spent(times)


def _between(problem: Problem, point: Tensor, away: Tensor, share: Tensor) -> Tensor:
    """The point brought to `share` [N] of its distance `away` [N] from x; itself at 1."""
    delta = point - problem.x
    if isinstance(problem.threat.ball, Linf):
        most = per_sample(share * away, delta)
        near = problem.x + delta.clamp(-most, most)
    else:
        near = problem.x + per_sample(share, delta) * delta
    return torch.where(per_sample(share >= 1, delta), point, near)


def _fineness(problem: Problem) -> float:
    """Theta of the paper: how near to the edge a point must be, as a share of its way to x."""
    size = problem.x[0].numel()
    return 1 / size**2 if isinstance(problem.threat.ball, Linf) else 1 / size**1.5


def _radius(edge: Edge, away: Tensor, step: int) -> Tensor:
    """[N] how far from the point decisions are asked for; at least what its precision shows."""
    point, size = edge.point, edge.point[0].numel()
    if step == 0:
        low, high = edge.problem.threat.ends(edge.problem.x)
        width = high - low
        width = width.where(width.isfinite(), OPEN * edge.problem.threat.ball.radius)
        far = torch.ones_like(away) * 0.1 * width.mean()
    else:
        far = away / size
    floor = 8 * torch.finfo(point.dtype).eps * size**0.5 * point.flatten(1).abs().amax(1)
    return torch.maximum(far, floor)


def _normal(edge: Edge, radius: Tensor, count: int) -> Tensor:
    """[N, ...] the direction in which more of `count` random points reach the goal."""
    problem, point = edge.problem, edge.point
    low, high = problem.threat.ends(problem.x)
    wide = per_sample(radius, point)
    mean, sides, whole = torch.zeros_like(radius), torch.zeros_like(point), torch.zeros_like(point)
    for part in portions(count):
        shape = (part, *point.shape[1:])
        if isinstance(problem.threat.ball, Linf):
            u = edge.draws.uniform(point, *shape) * 2 - 1
        else:
            u = edge.draws.normal(point, *shape)
        u = u / u.flatten(2).norm(dim=2).clamp(min=tiny(u)).view(*u.shape[:2], *[1] * (u.ndim - 2))
        asked = (point + wide * u.transpose(0, 1)).clamp(low, high)
        u = (asked - point) / wide  # what the box left of it
        vote = about(problem, asked).reached.to(u) * 2 - 1
        mean = mean + vote.sum(0) / count
        sides = sides + (vote.view(*vote.shape, *[1] * (u.ndim - 2)) * u).sum(0)
        whole = whole + u.sum(0)
    sure = per_sample(mean.abs() > 1 - 0.5 / count, point)  # all alike: there is no baseline
    return torch.where(sure, sides, sides - per_sample(mean, point) * whole)
