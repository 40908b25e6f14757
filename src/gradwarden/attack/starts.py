"""Where an ascent starts.

Source: Liu et al. 2022 (A3), arXiv:2203.05154, sec. 3.3 (adaptive direction initialisation), after
Tashiro et al. 2020, arXiv:2003.06878.
Differs: the direction is the one A3 arrives at, not learned from the samples that fell, so that no
sample depends on another.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradwarden.attack.ascent import march
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Problem

STARTS = ("random", "adi", "clean")
STEPS = 8  # of "adi", each across the whole ball


def check_start(start: str) -> None:
    if start not in STARTS:
        raise BadInput(f"start must be one of {', '.join(STARTS)}, got {start!r}")


def begin(
    start: str, best: Attacked, problem: Problem, draws: Draws, restart: int
) -> tuple[Attacked, Tensor]:
    """Best so far, and the points [N, ...] to start from.

    "random": drawn from the ball, no pass. "clean": x itself, and drawn for later restarts. "adi":
    from a drawn point `STEPS` steps along a random direction of the logits, down for y and up for
    the class aimed at (else the class that is next at x for this restart); every point on the way
    is tried.
    """
    if start == "clean" and restart == 0:
        return best, problem.x
    x_adv = problem.threat.sample(problem.x, draws)
    return (best, x_adv) if start != "adi" else _adi(best, problem, x_adv, draws, restart)


def _adi(
    best: Attacked, problem: Problem, x_adv: Tensor, draws: Draws, restart: int
) -> tuple[Attacked, Tensor]:
    with torch.no_grad():
        logits = problem.model(problem.x.clone())
    best = best._replace(forwards=best.forwards + 1)
    weights = _direction(logits, problem, draws, restart)
    # No loss exceeds infinity: what this search climbs is not the problem's, so that only success
    # makes one of its points the best.
    blind = best._replace(loss=torch.full_like(best.loss, float("inf")))
    along = problem._replace(loss=_along, aim=weights)
    found, x_adv = march(blind, along, x_adv, [1.0] * STEPS, restart)
    return found._replace(loss=best.loss), x_adv


def _along(logits: Tensor, y: Tensor, aim: Tensor | None) -> Tensor:
    """[N] the logits along the direction `aim` [N, classes]."""
    return torch.zeros_like(logits[:, 0]) if aim is None else (logits * aim).sum(1)


def _direction(logits: Tensor, problem: Problem, draws: Draws, restart: int) -> Tensor:
    """[N, classes]: in [-1, 1) at random, but [-0.5, 0.1) for y and 0.8 for the class to come up."""
    uniform = draws.uniform(logits, logits.shape[1])
    y, up = problem.y[:, None], problem.aim
    if up is None:
        others = logits.scatter(1, y, float("-inf")).argsort(dim=1, descending=True, stable=True)
        up = others[:, restart % max(1, logits.shape[1] - 1)]
    weights = (2 * uniform - 1).scatter(1, up[:, None], 0.8)
    return weights.scatter(1, y, 0.6 * uniform.gather(1, y) - 0.5)
