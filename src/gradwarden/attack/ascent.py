"""Ascent steps of sizes that are known beforehand."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gradwarden.attack.gradient import climbed
from gradwarden.core.search import Attacked, Problem

CALM = 2  # answers in a row like the one before, without a gradient: there is nothing to follow


def march(
    best: Attacked, problem: Problem, x_adv: Tensor, sizes: Sequence[float], restart: int
) -> tuple[Attacked, Tensor]:
    """One ascent step of each of `sizes` (ball radii) from x_adv [N, ...] -> best, last points.

    The last points are not tried. A sample stops at its first success, and where it has no gradient
    to follow: its loss is what it was, `CALM` times (a model that draws may yet show a gradient).
    """
    done, last, rows = best, x_adv, torch.arange(len(x_adv), device=x_adv.device)
    held, calm = torch.full_like(best.loss, torch.nan), torch.zeros_like(rows)
    for size in sizes:
        best, value, grad = climbed(best, problem, x_adv, restart)
        x_adv = problem.threat.step(x_adv, grad, size, problem.x)
        same = value.isclose(held) & ~grad.flatten(1).any(1)
        held, calm = value, (calm + 1) * same
        left = (~best.success & (calm < CALM)).nonzero().flatten()
        if len(left) < len(rows):
            done, last = done.put(rows, best), last.index_copy(0, rows, x_adv)
            rows, best, problem, x_adv = rows[left], best.at(left), problem.at(left), x_adv[left]
            held, calm = held[left], calm[left]
            if not len(rows):
                return done, last
    return done.put(rows, best), last.index_copy(0, rows, x_adv)
