"""PGD as it was published, watched: every point is looked at, and no success ends it.

Source: Madry et al. 2018, arXiv:1706.06083, sec. 2.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.gradient import climbed
from gradwarden.core.geometry import per_sample
from gradwarden.core.search import Attacked, Problem


class Walked(NamedTuple):
    """What an ascent of T steps went through on K samples."""

    reached: Tensor  # [T + 1, K] bool: the goal, at each point
    loss: Tensor  # [T + 1, K]
    grads: Tensor  # [T + 1, K, ...]
    last: Tensor  # [K, ...] the last point
    best: Tensor  # [K, ...] of the points that reached the goal, that of the largest loss; or x


def walk(blank: Attacked, problem: Problem, x_adv: Tensor, sizes: Sequence[float]) -> Walked:
    """From x_adv [K, ...], one step of each of `sizes` ball radii; nothing is random."""
    reached, losses, grads = [], [], []
    best, most = problem.x, torch.full_like(blank.loss, float("-inf"))
    for size in (*sizes, None):
        after, loss, grad = climbed(blank, problem, x_adv)
        larger = after.success & (loss > most)
        tried = problem.threat.repair(x_adv, problem.x)
        best = torch.where(per_sample(larger, best), tried, best)
        most = torch.where(larger, loss, most)
        reached.append(after.success)
        losses.append(loss)
        grads.append(grad)
        if size is not None:
            x_adv = problem.threat.step(x_adv, grad, size, problem.x)
    return Walked(torch.stack(reached), torch.stack(losses), torch.stack(grads), x_adv, best)
