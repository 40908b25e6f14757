"""The distance at which each sample falls, and so the accuracy at every radius, from one run.

Source: Rony et al. 2019, arXiv:1811.09600, sec. 4 (robustness as a curve over the norm).
Differs: several attacks, the nearest confirmed point of each sample counts.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gradwarden import __version__
from gradwarden.attack.chance import seeded
from gradwarden.attack.fab import FAB
from gradwarden.attack.fmn import FMN
from gradwarden.attack.inputs import clean_logits
from gradwarden.attack.losses import loss_of
from gradwarden.attack.memory import Pieces
from gradwarden.attack.min_norm import MinimumNorm, Nearest, begin, drawn_in
from gradwarden.attack.min_norm_units import unbounded
from gradwarden.attack.referee import judge
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.distances import Distances
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import predicts
from gradwarden.core.protocols import Attack, Progress
from gradwarden.core.provenance import environment, sources
from gradwarden.core.records import Origin
from gradwarden.core.search import Model, Problem
from gradwarden.core.threat import Threat


def default_attacks(ball: Ball) -> tuple[MinimumNorm, ...]:
    """What `minimum_norm` runs where no attacks are named: neither is nearest everywhere."""
    while isinstance(ball, Scaled):
        ball = ball.ball
    return (FMN(),) if isinstance(ball, L0) else (FMN(), FAB(targets=3))


def minimum_norm(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    attacks: Sequence[MinimumNorm | Attack] | None = None,
    *,
    seed: int = 0,
    ids: Sequence[int] | None = None,
    batch_size: int = 256,
    on_progress: Progress | None = None,
) -> Distances:
    """The smallest distance, in the norm of the threat's ball, at which each sample falls.

    x [N, ...] in `threat.box`, y [N] class indices, `ids` [N] (default 0 ... N-1) key the draws.
    The threat's radius is a scale to begin with, no bound. An attack that only looks inside a ball
    (`PGD`, `Square`) is run at that radius, on samples with no nearer point yet. Raises BadInput.
    """
    began = time.perf_counter()
    names = range(len(x)) if ids is None else ids
    chosen = default_attacks(threat.ball) if attacks is None else tuple(attacks)
    pieces = Pieces(batch_size)
    with seeded(x.device, seed, "clean"):
        logits = clean_logits(model, x, y, threat, names, pieces)
    wrong = (threat.goal.predicted(logits) != y) | ~predicts(logits)
    table = _Table(model, x, y, threat, names, seed, wrong | threat.goal.reached(logits, y))
    for number, attack in enumerate(chosen):
        rows = table.ahead(attack)
        told = _tell(on_progress, number * len(x), len(chosen) * len(x))
        pieces.run(rows, table.work(number, attack, told))
        if on_progress is not None:
            on_progress((number + 1) * len(x), len(chosen) * len(x))
    return table.record(chosen, time.perf_counter() - began)


class _Table:
    """The nearest confirmed points so far."""

    def __init__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        names: Sequence[int],
        seed: int,
        fallen: Tensor,
    ) -> None:
        self.model, self.x, self.y, self.threat = model, x, y, threat
        self.names, self.seed = names, seed
        self.size = torch.full(fallen.shape, math.inf, dtype=torch.float64, device=x.device)
        self.size[fallen] = 0.0
        self.finder = torch.full_like(fallen, -1, dtype=torch.long)
        self.forwards = self.backwards = self.refuted = 0

    def ahead(self, attack: MinimumNorm | Attack) -> Tensor:
        """[K] the samples that `attack` can still bring nearer."""
        bound = 0.0 if isinstance(attack, MinimumNorm) else self.threat.ball.radius
        return (self.size > bound).nonzero()[:, 0]

    def work(
        self, number: int, attack: MinimumNorm | Attack, told: Callable[[int], None]
    ) -> Callable[[Tensor], None]:
        """What is done with each piece of rows [K]."""

        def search(rows: Tensor) -> None:
            with seeded(rows.device, self.seed, number, int(rows[0])):
                self.enter(number, rows, self._nearest(attack, rows))
            told(len(rows))

        return search

    def _nearest(self, attack: MinimumNorm | Attack, rows: Tensor) -> Nearest:
        x, y, ids = self.x[rows], self.y[rows], [self.names[row] for row in rows.tolist()]
        if isinstance(attack, MinimumNorm):
            return attack.nearest(self.model, x, y, self.threat, seed=self.seed, ids=ids)
        found = attack.run(self.model, x, y, self.threat, seed=self.seed, ids=ids)
        wide = unbounded(self.threat)
        problem = Problem(self.model, wide, loss_of(wide.goal, "margin"), x, y, ids)
        before, _ = begin(problem, 0.0)
        size = self.threat.ball.size(found.x_adv.double() - x.double())
        after = before._replace(
            x_adv=found.x_adv,
            size=size.masked_fill(~found.success, math.inf),
            forwards=before.forwards + found.forwards,
            backwards=found.backwards,
        )
        return drawn_in(problem, before, after)

    def enter(self, number: int, rows: Tensor, found: Nearest) -> None:
        """What attack `number` found for the samples `rows` [K], after the referee."""
        nearer = (found.size < self.size[rows]).nonzero()[:, 0]
        some, points = rows[nearer], found.x_adv[nearer]
        judged = judge(
            self.model, points, self.x[some], self.y[some], unbounded(self.threat)
        ).confirmed
        self.size[some[judged]] = found.size[nearer[judged]]
        self.finder[some[judged]] = number
        self.refuted += int((~judged).sum())
        self.forwards += int(found.forwards.sum()) + len(some)
        self.backwards += int(found.backwards.sum())

    def record(self, attacks: Sequence[MinimumNorm | Attack], seconds: float) -> Distances:
        by = [repr(attack) for attack in attacks]
        return Distances(
            ids=tuple(int(i) for i in self.names),
            distances=tuple(self.size.tolist()),
            found_by=tuple(None if i < 0 else by[i] for i in self.finder.tolist()),
            attacks=tuple(by),
            refuted=self.refuted,
            threat=repr(self.threat),
            forwards=self.forwards + len(self.x),
            backwards=self.backwards,
            seconds=seconds,
            origin=Origin(
                version=__version__,
                command="",
                environment=environment(),
                sources=sources([__name__, *{type(attack).__module__ for attack in attacks}]),
                seeds=(self.seed,),
            ),
        )


def _tell(told: Progress | None, before: int, total: int) -> Callable[[int], None]:
    """Counts the samples of one attack, on top of `before`."""
    done = [before]

    def count(more: int) -> None:
        done[0] += more
        if told is not None:
            told(done[0], total)

    return count
