"""The best point an attack has visited, per sample.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, sec. 4 (report the best point visited).
Differs: the unperturbed x is scored first, and a first success is never replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, Self

import torch
from torch import Tensor

from gradwarden.core.geometry import per_sample
from gradwarden.core.threat import Goal

Model = Callable[[Tensor], Tensor]  # x [N, ...] -> logits [N, classes]
Loss = Callable[[Tensor, Tensor], Tensor]  # logits [N, classes], y [N] -> [N], larger is better


class Attacked(NamedTuple):
    """What an attack returns: the first success stays; until then the largest loss wins.

    Passes are counted per sample, for a sample that is left out once it fell costs no more.
    """

    x_adv: Tensor  # [N, ...]
    loss: Tensor  # [N]
    success: Tensor  # [N] bool
    margin: Tensor  # [N] in logits, of `x_adv`; above 0 where the goal is reached
    restart: Tensor  # [N] int, the restart that found `x_adv`
    forwards: Tensor  # [N] int
    backwards: Tensor  # [N] int

    @classmethod
    def start(cls, model: Model, goal: Goal, loss: Loss, x: Tensor, y: Tensor) -> Self:
        """Score x [N, ...] itself: where y [N] is missed already, it succeeds unperturbed.

        So accuracy under attack never exceeds clean accuracy.
        """
        with torch.no_grad():
            logits = model(x.clone())  # a model may write into its input
            value = loss(logits, y)
            zero = torch.zeros(len(x), dtype=torch.long, device=x.device)
            return cls(
                x.detach(),
                # Nothing compares above NaN: the search would stay at x for ever.
                torch.where(value.isnan(), float("-inf"), value),
                goal.reached(logits, y),
                goal.margin(logits, y),
                restart=zero,
                forwards=zero + 1,
                backwards=zero,
            )

    def score(
        self, model: Model, goal: Goal, loss: Loss, x: Tensor, y: Tensor, restart: int = 0
    ) -> tuple[Self, Tensor]:
        """One forward at x [N, ...] -> (best so far, its loss [N], still differentiable)."""
        logits = model(x.clone())
        value, success = loss(logits, y), goal.reached(logits, y)
        better = ~self.success & (success | (value > self.loss))
        best = self._replace(
            x_adv=torch.where(per_sample(better, x), x.detach(), self.x_adv),
            loss=torch.where(better, value.detach(), self.loss),
            success=self.success | success,
            margin=torch.where(better, goal.margin(logits, y).detach(), self.margin),
            restart=self.restart.masked_fill(better, restart),
            forwards=self.forwards + 1,
        )
        return best, value

    def at(self, rows: Tensor) -> Self:
        """The samples `rows` [K] alone."""
        return type(self)(*(part[rows] for part in self))

    def put(self, rows: Tensor, some: Self) -> Self:
        """With the samples `rows` [K] replaced by `some`."""
        pairs = zip(self, some, strict=True)
        return type(self)(*(part.index_copy(0, rows, new) for part, new in pairs))
