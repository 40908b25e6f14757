"""Gradients estimated from pairs of loss values, for models that give none.

Source: Uesato et al. 2018, arXiv:1802.05666, alg. 1 (SPSA: random signs, Adam); Ilyas et al. 2018,
arXiv:1804.08598, sec. 2.1 (NES: normal directions).
Differs: every point of the path is scored, and the best of them returned; pairs stay in the box.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from gradwarden.attack.asking import about, portions
from gradwarden.attack.gradient import look
from gradwarden.attack.losses import check_loss, loss_of
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import tiny
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

DIRECTIONS = ("signs", "normal")
FIRST, SECOND = 0.9, 0.999  # decay of Adam's means of gradients and of their squares


class Pace(NamedTuple):
    """Where the search of each of N samples is, with Adam's two means, all [N, ...]."""

    x_adv: Tensor
    mean: Tensor
    square: Tensor

    def at(self, rows: Tensor) -> Self:
        return type(self)(*(part[rows] for part in self))


@dataclass(frozen=True, kw_only=True)
class SPSA:
    """`steps` steps of Adam along gradients, each from `pairs` pairs of losses at x_adv -+ delta u.

    `delta` and `step_size` are in widths of the box, feature by feature; in ball radii where the
    box is open. `directions`: u of random "signs" (SPSA) or "normal" numbers (NES).
    """

    steps: int = 100
    pairs: int = 128
    delta: float = 0.01
    step_size: float = 0.01
    directions: str = "signs"
    loss: str = "margin"

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise BadInput(f"steps must be at least 1, got {self.steps}")
        if self.pairs < 1:
            raise BadInput(f"pairs must be at least 1, got {self.pairs}")
        if not 0.0 < self.delta < float("inf"):
            raise BadInput(f"delta must be above 0, in widths of the box, got {self.delta}")
        if not 0.0 < self.step_size < float("inf"):
            raise BadInput(f"step_size must be above 0, in widths of the box, got {self.step_size}")
        if self.directions not in DIRECTIONS:
            raise BadInput(
                f"directions must be one of {', '.join(DIRECTIONS)}, got {self.directions!r}"
            )
        check_loss(self.loss)

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
        """x [N, ...], y [N] -> best point per sample; steps x (2 pairs + 1) forwards at most."""
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, threat, loss_of(threat.goal, self.loss), x, y, names)
        done = problem.start()
        rows = done.left
        best, problem, draws = done.at(rows), problem.at(rows), problem.draws(seed, "SPSA")
        draws, zero = draws.only(rows.tolist()), torch.zeros_like(problem.x)
        pace = Pace(problem.x, zero, zero)
        for step in range(1, self.steps + 1):
            if not len(rows):
                break
            grad = self._gradient(problem, pace.x_adv, draws)
            pace = self._step(problem, pace, grad, step)
            spent = best.forwards + 2 * self.pairs
            best = look(best._replace(forwards=spent), problem, pace.x_adv)
            if best.success.any():
                done, left = done.put(rows, best), best.left
                rows, best, problem, pace = (
                    rows[left],
                    best.at(left),
                    problem.at(left),
                    pace.at(left),
                )
                draws = draws.only(left.tolist())
        return done.put(rows, best)

    def _gradient(self, problem: Problem, x_adv: Tensor, draws: Draws) -> Tensor:
        """The estimate at x_adv [N, ...], in units of the box.

        A pair of which a loss is not finite shows no direction.
        """
        low, high = problem.threat.ends(problem.x)
        reach = self.delta * unit(problem)
        total = torch.zeros_like(x_adv)
        for count in portions(self.pairs):
            shape = (count, *x_adv.shape[1:])
            if self.directions == "signs":
                u = (draws.uniform(x_adv, *shape) < 0.5).to(x_adv) * 2 - 1
            else:
                u = draws.normal(x_adv, *shape)
            u = u.transpose(0, 1)
            above, below = (
                about(problem, (x_adv + side * reach * u).clamp(low, high)).loss for side in (1, -1)
            )
            slope = (above - below) / (2 * self.delta)
            slope = slope.where(slope.isfinite(), 0.0).to(u)
            total += (slope.view(*slope.shape, *[1] * (u.ndim - 2)) * u).sum(0)
        return total / self.pairs

    def _step(self, problem: Problem, pace: Pace, grad: Tensor, step: int) -> Pace:
        """Upwards by Adam, then back into ball and box."""
        mean = FIRST * pace.mean + (1 - FIRST) * grad
        square = SECOND * pace.square + (1 - SECOND) * grad.square()
        along = mean / (1 - FIRST**step)
        # No constant beside the root: it would say how large a loss is small.
        along = along / (square / (1 - SECOND**step)).sqrt().clamp(min=tiny(grad) ** 0.5)
        moved = pace.x_adv + self.step_size * unit(problem) * along
        return Pace(problem.threat.project(moved, problem.x), mean, square)


def unit(problem: Problem) -> Tensor:
    """The box's width where it has one, else the ball's radius; broadcasts with x."""
    low, high = problem.threat.ends(problem.x)
    width = high - low
    return width.where(width.isfinite(), problem.threat.ball.radius)
