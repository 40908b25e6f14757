"""Many points about each sample, asked without a gradient and in forwards of a bounded size."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from gradwarden.core.search import Problem, Seen

AT_ONCE = 32  # points about a sample; the same for every batch, since draws depend on it
TOGETHER = 4096  # points at most in one forward, unless there are more samples than that


def portions(count: int) -> Iterator[int]:
    """`count` in portions of at most AT_ONCE."""
    for done in range(0, count, AT_ONCE):
        yield min(AT_ONCE, count - done)


def about(problem: Problem, points: Tensor) -> Seen:
    """What the model says of points [K, N, ...]; each field is [K, N].

    Repaired points are asked about; one that breaks the threat's constraints reaches nothing.
    """
    n = points.shape[1]
    parts = [_about(problem, some) for some in points.split(max(1, TOGETHER // n))]
    return Seen(*(torch.cat(part).view(-1, n) for part in zip(*parts, strict=True)))


def _about(problem: Problem, points: Tensor) -> Seen:
    rows = torch.arange(points.shape[1], device=points.device).repeat(len(points))
    many = problem.at(rows)
    with torch.no_grad():
        tried = problem.threat.repair(points.flatten(0, 1), many.x)
        seen = many.see(many.ask(tried))
        return seen._replace(reached=seen.reached & problem.threat.feasible(tried, many.x))
