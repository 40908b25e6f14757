"""Ascent steps of sizes that are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradwarden.attack.gradient import climbed
from gradwarden.core.search import Attacked, Problem


def march(
    best: Attacked, problem: Problem, x_adv: Tensor, sizes: Sequence[float], restart: int
) -> tuple[Attacked, Tensor]:
    """One ascent step of each of `sizes` (ball radii) from x_adv [N, ...] -> best, last points.

    The last points are not tried. A sample stops at its first success, and all of them where no
    gradient moves any and the same points are answered the same twice (a model that draws may yet
    show a gradient).
    """
    done, last, rows = best, x_adv, torch.arange(len(x_adv), device=x_adv.device)
    held: Tensor | None = None  # [N] the loss at these very points, one step before
    for size in sizes:
        best, value, grad = climbed(best, problem, x_adv, restart)
        if held is not None and torch.equal(held, value) and not grad.any():
            break
        before, x_adv = x_adv, problem.threat.step(x_adv, grad, size, problem.x)
        held = value if torch.equal(before, x_adv) else None
        if best.success.any():
            left = best.left
            done, last = done.put(rows, best), last.index_copy(0, rows, x_adv)
            rows, best, problem, x_adv = rows[left], best.at(left), problem.at(left), x_adv[left]
            held = None
            if not len(rows):
                return done, last
    return done.put(rows, best), last.index_copy(0, rows, x_adv)
