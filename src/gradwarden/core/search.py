"""What an attack works on, and the best point it has visited, per sample.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, sec. 4 (report the best point visited).
Differs: the unperturbed x is scored first, and a first success is never replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

import torch
from torch import Tensor

from gradwarden.core.draws import Draws
from gradwarden.core.geometry import per_sample
from gradwarden.core.threat import Threat

Model = Callable[[Tensor], Tensor]  # x [N, ...] -> logits [N, classes]
# logits [N, classes], y [N], class aimed at [N] or None -> [N], larger is better
Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


class Attacked(NamedTuple):
    """What an attack returns: the first success stays; until then the largest loss wins.

    Passes are counted per sample, for a sample that is left out once it fell costs no more.
    """

    x_adv: Tensor  # [N, ...], feasible
    loss: Tensor  # [N]
    success: Tensor  # [N] bool
    margin: Tensor  # [N] in logits, of `x_adv`; above 0 where the goal is reached
    restart: Tensor  # [N] int, the restart that found `x_adv`
    forwards: Tensor  # [N] int
    backwards: Tensor  # [N] int
    infeasible: Tensor  # [N] bool: a point reached the goal that the threat's constraints forbid

    @property
    def left(self) -> Tensor:
        """[K] the rows that stand."""
        return (~self.success).nonzero()[:, 0]

    def at(self, rows: Tensor) -> Self:
        """The samples `rows` [K] alone."""
        return type(self)(*(part[rows] for part in self))

    def put(self, rows: Tensor, some: Self) -> Self:
        """With the samples `rows` [K] replaced by `some`."""
        pairs = zip(self, some, strict=True)
        return type(self)(*(part.index_copy(0, rows, new) for part, new in pairs))


class Problem(NamedTuple):
    """N samples under one threat, and the loss that the search climbs."""

    model: Model
    threat: Threat
    loss: Loss
    x: Tensor  # [N, ...] inside the threat's box
    y: Tensor  # [N]
    ids: Sequence[int]  # [N], key the draws
    aim: Tensor | None = None  # [N] the class that a targeted loss aims at

    def at(self, rows: Tensor) -> Self:
        """The samples `rows` [K] alone."""
        return self._replace(
            x=self.x[rows],
            y=self.y[rows],
            ids=[self.ids[row] for row in rows.tolist()],
            aim=None if self.aim is None else self.aim[rows],
        )

    def draws(self, seed: int, *purpose: object) -> Draws:
        """Keyed by `seed`, the samples' ids and `purpose`."""
        return Draws(seed, self.ids, *purpose)

    def start(self) -> Attacked:
        """x itself as the best point so far: where y is missed already, it succeeds unperturbed.

        So accuracy under attack never exceeds clean accuracy.
        """
        with torch.no_grad():
            logits = self.model(self.x.clone())  # a model may write into its input
            value = self.loss(logits, self.y, self.aim)
            zero = torch.zeros(len(self.x), dtype=torch.long, device=self.x.device)
            return Attacked(
                self.x.detach(),
                # Nothing compares above NaN: the search would stay at x for ever.
                torch.where(value.isnan(), float("-inf"), value),
                self.threat.goal.reached(logits, self.y),
                self.threat.goal.margin(logits, self.y),
                restart=zero,
                forwards=zero + 1,
                backwards=zero,
                infeasible=zero > 0,
            )

    def score(self, best: Attacked, x_adv: Tensor, restart: int = 0) -> tuple[Attacked, Tensor]:
        """One forward at x_adv [N, ...] -> (best so far, its loss [N], still differentiable).

        x_adv is in ball and box. Where the threat has constraints, x_adv should have been through
        `threat.repair`; a point that still breaks them neither succeeds nor becomes the best.
        """
        logits = self.model(x_adv.clone())
        value, goal = self.loss(logits, self.y, self.aim), self.threat.goal
        reached, feasible = goal.reached(logits, self.y), self.threat.feasible(x_adv, self.x)
        success = reached & feasible
        better = ~best.success & feasible & (success | (value > best.loss))
        best = best._replace(
            x_adv=torch.where(per_sample(better, x_adv), x_adv.detach(), best.x_adv),
            loss=torch.where(better, value.detach(), best.loss),
            success=best.success | success,
            margin=torch.where(better, goal.margin(logits, self.y).detach(), best.margin),
            restart=best.restart.masked_fill(better, restart),
            forwards=best.forwards + 1,
            infeasible=best.infeasible | (reached & ~feasible),
        )
        return best, value
