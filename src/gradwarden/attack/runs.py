"""Runs of an ascent one after another, on whoever is left: restarts, classes to aim at, losses.

Source: Croce & Hein 2020, arXiv:2003.01690, sec. 5 (worst case per sample over runs).
Differs: where losses differ between runs, and cannot be compared, the larger margin wins.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.losses import check_loss, losses_of, untargeted
from gradwarden.attack.starts import begin, check_start
from gradwarden.attack.targeting import check_order, ranked
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import per_sample
from gradwarden.core.search import Attacked, Loss, Model, Problem
from gradwarden.core.threat import Threat

# best so far, problem, points to start from [N, ...], number of the run -> best so far
Ascent = Callable[[Attacked, Problem, Tensor, int], Attacked]


class Plan(NamedTuple):
    """What is run; see the attacks for what each option says."""

    name: str  # of the attack; keys the draws with the loss, so that stages differ
    loss: str
    restarts: int
    start: str
    targets: int | None = None
    order: str = "logits"

    def check(self) -> None:
        """Raises BadInput."""
        if self.restarts < 1:
            raise BadInput(f"restarts must be at least 1, got {self.restarts}")
        if self.targets is not None and self.targets < 1:
            raise BadInput(f"targets must be at least 1, or None, got {self.targets}")
        check_loss(self.loss, each=True)
        check_start(self.start)
        check_order(self.order)

    def carry_out(
        self,
        ascent: Ascent,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int,
        ids: Sequence[int] | None,
    ) -> Attacked:
        """x [N, ...], y [N] -> the best point of x and all runs; the losses share their starts.

        `restart` of what is returned is the number of the run, counted over restarts, then classes
        aimed at, then losses.
        """
        names = range(len(x)) if ids is None else ids
        losses = losses_of(threat.goal, self.loss)
        problem = Problem(model, threat, losses[0], x, y, names)
        best = problem.start()
        aims: Sequence[Tensor | None] = (None,)
        if self.targets is not None and untargeted(threat.goal):
            best, aims = self._aims(best, problem, self.targets)
        comparable = len(aims) == len(losses) == 1 and aims[0] is None
        for number, (key, aim, loss) in enumerate(self._each(aims, losses)):
            rows = best.left
            if not len(rows):
                break
            some = problem._replace(loss=loss, aim=aim).at(rows)
            before = best.at(rows)
            run = before if comparable else _forgetful(before)
            draws = some.draws(seed, self.name, self.loss, *key)
            run, x_adv = begin(self.start, run, some, draws, number // len(losses))
            left = run.left
            if len(left):
                after = ascent(run.at(left), some.at(left), x_adv[left], number)
                run = run.put(left, after)
            best = best.put(rows, run if comparable else _nearer(before, run))
        return best

    def _aims(
        self, best: Attacked, problem: Problem, targets: int
    ) -> tuple[Attacked, Sequence[Tensor]]:
        """[N] per rank: the classes that each sample's runs aim at."""
        rows = best.left
        if not len(rows):
            return best, ()
        spent, found = ranked(best.at(rows), problem.at(rows), targets, self.order)
        aims = found.new_zeros(len(best.x_adv), found.shape[1]).index_copy(0, rows, found)
        return best.put(rows, spent), aims.unbind(1)

    def _each(
        self, aims: Sequence[Tensor | None], losses: Sequence[Loss]
    ) -> Iterator[tuple[tuple[int, ...], Tensor | None, Loss]]:
        """The key of the draws, the classes to aim at [N] and the loss of every run."""
        for restart, (rank, aim), loss in product(range(self.restarts), enumerate(aims), losses):
            yield (restart,) if aim is None else (restart, rank), aim, loss


def _forgetful(best: Attacked) -> Attacked:
    """`best` with no loss to compare with."""
    return best._replace(loss=torch.full_like(best.loss, float("-inf")))


def _nearer(before: Attacked, run: Attacked) -> Attacked:
    """The point of `run` where it succeeds or has the larger margin; passes and flags are its own.

    The loss becomes the margin.
    """
    better = run.success | (run.margin > before.margin)
    return run._replace(
        x_adv=torch.where(per_sample(better, run.x_adv), run.x_adv, before.x_adv),
        margin=torch.where(better, run.margin, before.margin),
        loss=torch.where(better, run.margin, before.margin),
        restart=torch.where(better, run.restart, before.restart),
    )
