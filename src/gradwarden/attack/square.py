"""Square Attack: random search that needs no gradient, one block of the sample at a time.

Source: Andriushchenko et al. 2020, arXiv:1912.00049.
Differs: each sample has its own blocks and draws, so that its result does not depend on its batch;
any shape of sample and any ball (see `attack.moves`); the margin is climbed for every goal, the
targeted one too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradwarden.attack.blocks import planes
from gradwarden.attack.gradient import look
from gradwarden.attack.losses import loss_of
from gradwarden.attack.moves import PLACES, moves
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import per_sample
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

# The share of a sample that a block covers halves after each of these shares of the queries.
HALVES = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)
PAUSE = 500  # queries between two looks at whether a search is worth going on with
AHEAD = 64  # steps whose draws are made at once: a call of each sample's generator costs


@dataclass(frozen=True, kw_only=True)
class Square:
    """`queries` forwards for each of `restarts` searches; blocks cover `share` of x at first.

    With `give_up`, a search ends where the margin, rising on as in the last 500 queries, would not
    reach the boundary; most samples that never fall then cost 1,000 queries.
    """

    queries: int = 5000
    share: float = 0.8
    restarts: int = 1
    give_up: bool = False

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise BadInput(f"queries must be at least 1, got {self.queries}")
        if not 0.0 < self.share <= 1.0:
            raise BadInput(f"share must be in (0, 1], got {self.share}")
        if self.restarts < 1:
            raise BadInput(f"restarts must be at least 1, got {self.restarts}")

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
        """x [N, ...], y [N] -> best point per sample; no backward."""
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, threat, loss_of(threat.goal, "margin"), x, y, names)
        best = problem.start()
        for restart in range(self.restarts):
            rows = best.left
            if not len(rows):
                break
            before = best.at(rows)
            best = best.put(
                rows, _better(before, self._search(problem.at(rows), before, seed, restart))
            )
        return best

    def _search(self, problem: Problem, before: Attacked, seed: int, restart: int) -> Attacked:
        """The best point of one search, which goes on from its own points, worse than x or not."""
        draws = problem.draws(seed, "Square", restart)
        move = moves(problem.threat, problem.x)
        best = before._replace(loss=torch.full_like(before.loss, float("-inf")))
        best = look(best, problem, move.first(draws), restart)
        done, rows = best, torch.arange(len(before.loss), device=before.loss.device)
        chance = torch.empty(len(rows), 0, device=rows.device)
        then = best.loss
        for step in range(self.queries - 1):
            stays = ~best.success
            if self.give_up and step and step % PAUSE == 0:
                stays &= (step == PAUSE) | self._hopeful(step, then, best.loss)
                then = best.loss
            if not stays.all():
                done, left = done.put(rows, best), stays.nonzero()[:, 0]
                if not len(left):
                    return done
                rows, best, problem, then = rows[left], best.at(left), problem.at(left), then[left]
                chance, draws = chance[left], draws.only(left.tolist())
                move = moves(problem.threat, problem.x)
            if step % AHEAD == 0:
                count = PLACES + planes(problem.x).shape[1]
                chance = draws.uniform(chance.new_empty(len(rows), 1), AHEAD, count)
            tried = move.next(best.x_adv, self._share(step), chance[:, step % AHEAD])
            best = look(best, problem, tried, restart)
        return done.put(rows, best)

    def _hopeful(self, step: int, then: Tensor, now: Tensor) -> Tensor:
        """[N] bool: whether the margin gets there at its last pace."""
        return now + (now - then) * (self.queries - step) / PAUSE > 0

    def _share(self, step: int) -> float:
        """The schedule of 10,000 queries, stretched to `queries`."""
        return self.share / 2.0 ** sum(step > part * self.queries for part in HALVES)


def _better(before: Attacked, after: Attacked) -> Attacked:
    """`after` where it succeeded or has the larger loss, else the point of `before`."""
    wins = after.success | (after.loss > before.loss)
    return after._replace(
        x_adv=torch.where(per_sample(wins, after.x_adv), after.x_adv, before.x_adv),
        loss=torch.where(wins, after.loss, before.loss),
        margin=torch.where(wins, after.margin, before.margin),
        restart=torch.where(wins, after.restart, before.restart),
    )
