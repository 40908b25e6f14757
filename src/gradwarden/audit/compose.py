"""What else breaks more, once every wall is open: averages, float64, other stand-ins.

Source: Tramer et al. 2020, arXiv:2002.08347 (adaptive attacks are composed); Athalye et al. 2018,
arXiv:1802.00420, sec. 4.2 (expectation over transformation).
Differs: each part is taken where a short search along the whole route breaks more with it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import torch

from gradwarden.audit.budgets import Budget
from gradwarden.audit.case import Case
from gradwarden.audit.noise_ratio import signal_to_noise
from gradwarden.audit.probe import Probe, Score
from gradwarden.audit.route import Route
from gradwarden.audit.walls import OPENS, Opened, Walls
from gradwarden.core.protocols import Patch

LEAST_DRAWS = 10
GAIN = 0.03  # share of the probed samples that a further part must break to be taken
CHANGES = 4  # parts that are added, or exchanged
REACH = (0.25, 0.75)  # neighbourhoods to average over, in shares of the way to the ball's edge


def improved(
    opened: Opened, walls: Walls, probe: Probe, budget: Budget
) -> tuple[Route, tuple[Route, ...]]:
    """The route with what else breaks more: averages, float64, other stand-ins; and the next best."""
    tried: dict[Route, Score] = {}
    route = opened.route
    if "average" in opened.cures:
        route = replace(route, draws=_draws(walls.case, budget))
    for first in (route, Route(draws=route.draws)):  # what was replaced may be the better guide
        tried[first] = probe.score(first)
    route = max(tried, key=lambda r: tried[r])
    for _ in range(CHANGES):
        best = tried[route]
        if best.fell == len(probe.x):
            break
        opens = best.fell >= OPENS * len(probe.x)
        for change in _changes(route, opened, walls, trained=not (walls.lean and opens)):
            if change not in tried:
                tried[change] = probe.score(change)
        top = max(tried, key=lambda r: (tried[r].fell, -r.price, tried[r].margin))
        if tried[top].fell < best.fell + max(1, GAIN * len(probe.x)):
            break
        route = top
    near = [r for r in tried if r != route and tried[r].fell >= 0.5 * tried[route].fell > 0]
    near.sort(key=lambda r: tried[r], reverse=True)
    return route, tuple(near[:2])


def _changes(route: Route, opened: Opened, walls: Walls, *, trained: bool) -> Iterator[Route]:
    """Routes that differ from `route` in one part; with stand-ins that are `trained`, or without."""
    for patches in _smooth(route, opened, walls):
        yield replace(route, patches=(*route.patches, *patches))
    for number, patch in enumerate(route.patches):
        before, after = route.patches[:number], route.patches[number + 1 :]
        path = str(getattr(patch, "path", ""))
        learnt = walls.learnt(path) if trained else []
        for other in (*walls.cheap(path), *(found.patch for found in learnt)):
            if other != patch:
                yield replace(route, patches=(*before, other, *after))
    if walls.lean:
        return
    if not route.sigma:
        reach = _reach(walls.case)
        for share in REACH:
            yield replace(route, sigma=share * reach)
    if not route.double and opened.cures & {"double", "margin"}:
        yield replace(route, double=True)


def _smooth(route: Route, opened: Opened, walls: Walls) -> Iterator[list[Patch]]:
    """Stand-ins of one kind for all modules that jump: one alone leaves the jumps of the rest."""
    past = {getattr(patch, "path", None) for patch in route.patches}
    jumping = [f.module for f in opened.seen if f.cure == "smooth" and f.module is not None]
    kinds: dict[type, list[Patch]] = {}
    for path in jumping:
        if path not in past:
            for patch in walls.cheap(path):
                kinds.setdefault(type(patch), []).append(patch)
    yield from (patches for patches in kinds.values() if len(patches) == len(jumping))


def _reach(case: Case) -> float:
    """How far an attack's step moves an element of x, in units of x (root mean square)."""
    x = case.x
    to = case.threat.project(x + 1e6 * torch.ones_like(x), x)
    back = case.threat.project(x - 1e6 * torch.ones_like(x), x)
    moved = torch.maximum((to - x).abs(), (x - back).abs())
    return float(moved.double().square().mean().sqrt())


def _draws(case: Case, budget: Budget) -> int:
    """From the gradient's signal to noise; within what the budget affords."""
    ratio = signal_to_noise(case)
    wanted = math.ceil(1 / ratio) if ratio > 0 else budget.most_draws
    return max(min(LEAST_DRAWS, budget.most_draws), min(wanted, budget.most_draws))
