"""Ascent steps of sizes that are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradwarden.attack.gradient import climb
from gradwarden.core.search import Attacked, Problem


def march(
    best: Attacked, problem: Problem, x_adv: Tensor, sizes: Sequence[float], restart: int
) -> tuple[Attacked, Tensor]:
    """One ascent step of each of `sizes` (ball radii) from x_adv [N, ...] -> best, last points.

    The last points are not tried. A sample stops at its first success.
    """
    done, last, rows = best, x_adv, torch.arange(len(x_adv), device=x_adv.device)
    for size in sizes:
        best, grad = climb(best, problem, x_adv, restart)
        x_adv = problem.threat.step(x_adv, grad, size, problem.x)
        if best.success.any():
            left = best.left
            done, last = done.put(rows, best), last.index_copy(0, rows, x_adv)
            rows, best, problem, x_adv = rows[left], best.at(left), problem.at(left), x_adv[left]
            if not len(rows):
                return done, last
    return done.put(rows, best), last.index_copy(0, rows, x_adv)
