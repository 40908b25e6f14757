"""Steps to the boundary as the gradient draws it, pulled back towards x.

Source: Croce & Hein 2020, arXiv:1907.02044, alg. 1; targeted as in arXiv:2003.01690, sec. 4.
Differs: at a success, the boundary drawn at the success serves for the step from the point
half-way back too, which saves a pass; the line search at the end halves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from gradwarden.attack.gradient import usable
from gradwarden.attack.losses import loss_of, untargeted
from gradwarden.attack.min_norm import Nearest, Shown, Trail, begin, drawn_in, follow
from gradwarden.attack.min_norm_steps import boxed
from gradwarden.attack.min_norm_units import Units, to_plane, unbounded, units_of
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import per_sample
from gradwarden.core.goal import Goal
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class FAB:
    """`steps` towards each of the `targets` best other classes, from x and from random points.

    The ball is Linf, L2 or L1. `pull` is the largest share of x in a step, `overshoot` how far past
    the drawn boundary a step goes, `keep` the share of a success's distance that is kept when the
    search moves back to x. A goal other than untargeted has one boundary, that of its margin.
    """

    steps: int = 100
    targets: int = 9
    restarts: int = 1
    pull: float = 0.1
    overshoot: float = 1.05
    keep: float = 0.9

    def __post_init__(self) -> None:
        for name in ("steps", "targets", "restarts"):
            if getattr(self, name) < 1:
                raise BadInput(f"{name} must be at least 1, got {getattr(self, name)}")
        if not 0.0 <= self.pull <= 1.0:
            raise BadInput(f"pull must be in [0, 1], got {self.pull}")
        if not 1.0 <= self.overshoot < float("inf"):
            raise BadInput(f"overshoot must be at least 1, got {self.overshoot}")
        if not 0.0 < self.keep <= 1.0:
            raise BadInput(f"keep must be in (0, 1], got {self.keep}")

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
        """As `MinimumNorm.nearest`. A restart and a target cost `steps` passes each way."""
        units = units_of(threat, x, (1.0, 2.0, float("inf")), "FAB")
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, unbounded(threat), loss_of(threat.goal, "margin"), x, y, names)
        found, logits = begin(problem, enough)
        aims = _aims(threat.goal, logits, y, self.targets)
        for restart in range(self.restarts):
            for aim in aims:
                rows = found.left.nonzero()[:, 0]
                if not len(rows):
                    return found
                some, before = problem._replace(aim=aim).at(rows), found.at(rows)
                start = some.x if restart == 0 else _near(some, threat, before, seed, restart)
                trail = Trail(start, torch.zeros_like(before.left))
                move = partial(self._move, units)
                near, _ = follow(some, before, trail, move, self.steps, restart)
                found = found.put(rows, drawn_in(some, before, near))
        return found

    def _move(
        self,
        units: Units,
        problem: Problem,
        found: Nearest,
        shown: Shown,
        trail: Trail,
        number: int,
    ) -> Trail:
        """From x_adv, or from nearer to x after a success, to the boundary drawn at x_adv."""
        x, at = problem.x, shown.x_adv
        normal = (shown.grad * units.size).flatten(1).double()
        base = at.where(per_sample(~shown.hit, at), x + self.keep * (at - x))
        here, there = (
            self._step(units, problem, normal, usable(shown.value), at, start)
            for start in (base, x)
        )
        lengths = (units.ball.size(here), units.ball.size(there))
        share = lengths[0] / (lengths[0] + lengths[1]).clamp(min=1e-300)
        pull = per_sample(share.clamp(max=self.pull), at)
        here, there = ((self.overshoot * d).view_as(at).to(at.dtype) for d in (here, there))
        mixed = (1 - pull) * (base + here * units.size) + pull * (x + there * units.size)
        return Trail(boxed(problem.threat, mixed.to(at.dtype), x), ~normal.any(1))

    def _step(
        self,
        units: Units,
        problem: Problem,
        normal: Tensor,
        value: Tensor,
        at: Tensor,
        start: Tensor,
    ) -> Tensor:
        """[N, D] from `start` to the plane where the loss, drawn at `at`, is 0."""
        low, high = problem.threat.ends(problem.x)
        up, down = (((end - start) / units.size).abs().flatten(1).double() for end in (high, low))
        away = ((start - at) / units.size).flatten(1).double()
        need = -(value.double() + (normal * away).sum(1))
        return to_plane(normal, need, up, down, units.p)


def _aims(goal: Goal, logits: Tensor, y: Tensor, count: int) -> Sequence[Tensor | None]:
    """The best other classes at x, [N] each, best first; of several draws, by their mean."""
    if not untargeted(goal) or logits.shape[-1] < 2:
        return (None,)
    mean = logits if logits.ndim == 2 else logits.mean(0)
    others = mean.nan_to_num().scatter(1, y[:, None], float("-inf"))
    return others.topk(min(count, mean.shape[1] - 1), dim=1).indices.unbind(1)


def _near(problem: Problem, threat: Threat, found: Nearest, seed: int, restart: int) -> Tensor:
    """A random point half as far as the ball reaches, or as the nearest success is."""
    x = problem.x
    point = threat.sample(x, problem.draws(seed, "FAB", restart))
    share = (found.size / threat.ball.radius).clamp(max=1.0) / 2
    return boxed(threat, x + per_sample(share.to(x.dtype), x) * (point - x), x)
