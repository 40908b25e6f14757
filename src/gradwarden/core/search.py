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
    """What an attack returns: the first success stays; until then the largest loss wins."""

    x_adv: Tensor  # [N, ...]
    loss: Tensor  # [N]
    success: Tensor  # [N] bool
    margin: Tensor  # [N] in logits, of `x_adv`; above 0 where the goal is reached
    forwards: int  # passes of a whole batch of N
    backwards: int

    @classmethod
    def start(cls, model: Model, goal: Goal, loss: Loss, x: Tensor, y: Tensor) -> Self:
        """Score x [N, ...] itself: where y [N] is missed already, it succeeds unperturbed.

        So accuracy under attack never exceeds clean accuracy.
        """
        with torch.no_grad():
            logits = model(x)
            return cls(
                x.detach(),
                loss(logits, y),
                goal.reached(logits, y),
                goal.margin(logits, y),
                1,
                0,
            )

    def score(
        self, model: Model, goal: Goal, loss: Loss, x: Tensor, y: Tensor
    ) -> tuple[Self, Tensor]:
        """One forward at x [N, ...] -> (best so far, its loss [N], still differentiable)."""
        logits = model(x)
        value, success = loss(logits, y), goal.reached(logits, y)
        better = ~self.success & (success | (value > self.loss))
        best = type(self)(
            torch.where(per_sample(better, x), x.detach(), self.x_adv),
            torch.where(better, value.detach(), self.loss),
            self.success | success,
            torch.where(better, goal.margin(logits, y).detach(), self.margin),
            self.forwards + 1,
            self.backwards,
        )
        return best, value
