"""Finds what hides a model's gradient and the route of an attacker who gets to it all the same.

Source: Yao et al. 2021, arXiv:2102.11860 (search for adaptive attacks); Tramer et al. 2020,
arXiv:2002.08347.
Differs: the search is led by measured faults, one module at a time, and needs no rewritten model;
each part of the route is chosen by what a short search along it breaks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import Surrogate
from gradwarden.attack.chance import draws_by_itself
from gradwarden.audit.budgets import BUDGETS, Budget
from gradwarden.audit.case import Case, quiet, within
from gradwarden.audit.check import Check
from gradwarden.audit.diagnose import diagnose
from gradwarden.audit.noise_ratio import signal_to_noise
from gradwarden.audit.probe import Probe, Score
from gradwarden.audit.proposals import cheap, learnt
from gradwarden.audit.route import Route, through
from gradwarden.audit.stand_ins.near import StandIn
from gradwarden.audit.stand_ins.unsquashed import Unsquashed
from gradwarden.core.protocols import Attack, Patch
from gradwarden.core.records import Finding
from gradwarden.core.threat import Threat

ANSWERED = 256  # samples that those to diagnose are chosen from
ROUNDS = 12  # patches at most; a model with more walls than that stays unresolved
LEAST_DRAWS = 10
ALIKE = 0.5  # share of a module's changes that a stand-in foresees, to be believed as it is
NONE = Score(-1, float("-inf"))
ENOUGH = 0.9  # share of the probed samples with which no further stand-in is looked for
GAIN = 0.03  # share of the probed samples that a further part must break to be taken
CHANGES = 4  # parts that are added, or exchanged, once every wall is open
REACH = (0.25, 0.75)  # neighbourhoods to average over, in shares of the way to the ball's edge


class Adapted(NamedTuple):
    """What was found, and what an attack does about it."""

    findings: tuple[Finding, ...]
    route: Route
    open: tuple[Finding, ...]  # those of `findings` that nothing was done about
    hiding: tuple[Finding, ...]  # those that this or another attack goes around
    cures: frozenset[str]  # that the findings ask for
    others: tuple[Route, ...] = ()  # that broke nearly as much

    @property
    def patches(self) -> tuple[Patch, ...]:
        return self.route.patches

    def wrap(self, attack: Attack) -> Attack:
        """`attack`, along the route."""
        return self.route.wrap(attack)

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        """Within, the gradient of `model` is open; its values stay as they are."""
        return self.route.applied(model)


def adapt(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    *,
    seed: int = 0,
    budget: Budget = BUDGETS["standard"],
    standing: Tensor | None = None,
    use_declared: bool = False,
) -> Adapted:
    """Diagnoses `model` on the first samples of x [N, ...], y [N], and goes around what it finds.

    Routes are tried on those of the samples in `standing` [N] bool (default: all), who fell to
    nothing yet.
    """
    left = torch.ones_like(y, dtype=torch.bool) if standing is None else standing
    rows = left.nonzero()[: budget.probed, 0]
    some = _answered(model, x, seed)[: budget.diagnosed]
    case = Case(model=model, x=x[some], y=y[some], threat=threat, seed=seed)
    random = draws_by_itself(model, x[some], seed)
    walls = _Walls(case, use_declared, random)
    probe = Probe(model=model, x=x[rows], y=y[rows], threat=threat, seed=seed, random=random)
    opened = walls.open(probe)
    route = opened.route
    others: tuple[Route, ...] = ()
    if len(rows):
        route, others = _improved(opened, walls, probe, budget)
    told = {_told(finding, route): finding for finding in opened.seen}
    open_, hiding = [], []
    for now, before in told.items():
        if now.cure == "nothing" or (now.check, now.module) in opened.left:
            open_.append(now)
        # Where the cure was tried and the model's own gradient finds as much, nothing is hidden.
        elif now.cure == "margin" or (now.cure != "not needed" and now != before):
            hiding.append(now)
    return Adapted(tuple(told), route, tuple(open_), tuple(hiding), opened.cures, others)


def _answered(model: nn.Module, x: Tensor, seed: int) -> Tensor:
    """Rows of x [N, ...] that the model answers with numbers; all, where there are none."""
    some = x[:ANSWERED]
    with torch.no_grad(), quiet(x, seed):
        fine = model(some.clone()).isfinite().all(1)
    return (fine if fine.any() else torch.ones_like(fine)).nonzero()[:, 0]


def _told(finding: Finding, route: Route) -> Finding:
    """With what the attack does about it in place of what one can do."""
    cure = finding.cure
    cut = cure in ("patch", "strip", "smooth")
    at = [p for p in route.patches if cut and _around(p, finding.module or "")]
    if at:
        return replace(finding, remedy=f"The attack went {through(at[-1])}.")
    if cure == "average" and route.draws > 1:
        return replace(finding, remedy=f"The attack followed the mean of {route.draws} draws.")
    if cure == "smooth" and route.sigma:
        says = f"The attack averaged the gradient over a neighbourhood of {route.sigma:.3g}."
        return replace(finding, remedy=says)
    if cure == "double" and route.double:
        return replace(finding, remedy="The attack computed in float64.")
    return finding


def _around(patch: Patch, module: str) -> bool:
    """Whether `patch` replaces the module, or one that holds it."""
    path = getattr(patch, "path", None)
    return path is not None and (path == module or within(module, path))


def checks() -> tuple[Check, ...]:
    """Every diagnostic with its default options: those that audit/checks/__init__.py lists."""
    listed = import_module("gradwarden.audit.checks")
    return tuple(getattr(listed, name)() for name in listed.__all__)


class _Opened(NamedTuple):
    """What stood in the way, and a patch for each wall that has one."""

    seen: tuple[Finding, ...]
    route: Route
    left: frozenset[tuple[str, str | None]]  # check and module of the walls that still stand

    @property
    def cures(self) -> frozenset[str]:
        return frozenset(finding.cure for finding in self.seen)


@dataclass(frozen=True, eq=False)
class _Walls:
    """The modules that hide the gradient of `case`, opened one after another."""

    case: Case
    use_declared: bool
    random: bool  # the model draws by itself
    made: dict[str, list[StandIn]] = field(default_factory=dict)

    def open(self, probe: Probe) -> _Opened:
        """A patch for each wall; whether more is worth its cost is not asked here."""
        found: dict[tuple[str, str | None], Finding] = {}
        route, walls = Route(), list[Finding]()
        for _ in range(ROUNDS + 1):
            with route.applied(self.case.model):
                seen = list(self._seen(route))
            # A stand-in is no derivative either: what was gone around once is no wall again.
            past = {getattr(patch, "path", None) for patch in route.patches}
            seen = [f for f in seen if f.cure != "patch" or f.module not in past]
            for finding in seen:
                found.setdefault((finding.check, finding.module), finding)
            walls = [finding for finding in seen if finding.cure == "patch"]
            tails = [Unsquashed(f.module or "") for f in seen if f.cure == "strip"]
            ways = chain(
                (t for t in tails if t not in route.patches), self._through(walls, route, probe)
            )
            step = next(ways, None) if len(route.patches) < ROUNDS else None
            if step is None:
                break
            route = _with(route, step)
        left = frozenset((wall.check, wall.module) for wall in walls)
        return _Opened(tuple(found.values()), route, left)

    def cheap(self, path: str) -> list[Patch]:
        return list(cheap(self.case, path, self.use_declared))

    def learnt(self, path: str) -> list[StandIn]:
        """Trained once for each path."""
        if path not in self.made:
            self.made[path] = list(learnt(self.case, path, self.random))
        return self.made[path]

    def _seen(self, route: Route) -> Iterator[Finding]:
        # What lies inside a module that is replaced as a whole needs no patch of its own.
        covered = tuple(patch.path for patch in route.patches if isinstance(patch, Surrogate))
        case = replace(self.case, covered=covered)
        for check in checks():
            if not (route.patches and check.cure == "not needed"):  # a patch is a stand-in too
                yield from diagnose(case, check)

    def _through(self, walls: Sequence[Finding], route: Route, probe: Probe) -> Iterator[Patch]:
        for wall in walls:
            patch = self._patch(wall, route, probe)
            if patch is not None:
                yield patch

    def _patch(self, wall: Finding, route: Route, probe: Probe) -> Patch | None:
        """The best patch for the module at fault, or for the smallest one around it with any."""
        path = wall.module
        while path is not None:
            scored = self._scored(self.cheap(path), path, route, probe)
            if max(scored.values(), default=NONE).fell < ENOUGH * len(probe.x):
                scored |= self._scored(self._sound(path, route, probe), path, route, probe)
            if scored:
                return max(scored, key=lambda patch: scored[patch])
            path = path.rpartition(".")[0] if path else None
        return None

    def _scored(
        self, patches: Sequence[Patch], path: str, route: Route, probe: Probe
    ) -> dict[Patch, Score]:
        new = [patch for patch in patches if patch not in route.patches]
        ways = {patch: _with(route, patch) for patch in new}
        return {p: probe.score(way) for p, way in ways.items() if self._works(path, way)}

    def _sound(self, path: str, route: Route, probe: Probe) -> list[Patch]:
        """Those learnt stand-ins that do what the module does, or lead to more than without."""
        without = probe.score(route).fell
        return [
            found.patch
            for found in self.learnt(path)
            if found.fidelity >= ALIKE or probe.score(_with(route, found.patch)).fell > without
        ]

    def _works(self, path: str, route: Route) -> bool:
        """Whether the module at `path` gives a gradient to at least half of the samples."""
        with route.applied(self.case.model):
            slope = replace(self.case, covered=()).slope(path)
        return slope is not None and slope.share < 0.5


def _with(route: Route, patch: Patch) -> Route:
    return replace(route, patches=(*route.patches, patch))


def _improved(
    opened: _Opened, walls: _Walls, probe: Probe, budget: Budget
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
        for change in _changes(route, opened, walls):
            if change not in tried:
                tried[change] = probe.score(change)
        top = max(tried, key=lambda r: (tried[r].fell, -r.price, tried[r].margin))
        if tried[top].fell < best.fell + max(1, GAIN * len(probe.x)):
            break
        route = top
    near = [r for r in tried if r != route and tried[r].fell >= 0.5 * tried[route].fell > 0]
    near.sort(key=lambda r: tried[r], reverse=True)
    return route, tuple(near[:2])


def _changes(route: Route, opened: _Opened, walls: _Walls) -> Iterator[Route]:
    """Routes that differ from `route` in one part."""
    for patches in _smooth(route, opened, walls):
        yield replace(route, patches=(*route.patches, *patches))
    for number, patch in enumerate(route.patches):
        before, after = route.patches[:number], route.patches[number + 1 :]
        path = str(getattr(patch, "path", ""))
        for other in (*walls.cheap(path), *(found.patch for found in walls.learnt(path))):
            if other != patch:
                yield replace(route, patches=(*before, other, *after))
    if not route.sigma:
        reach = _reach(walls.case)
        for share in REACH:
            yield replace(route, sigma=share * reach)
    if not route.double and opened.cures & {"double", "margin"}:
        yield replace(route, double=True)


def _smooth(route: Route, opened: _Opened, walls: _Walls) -> Iterator[list[Patch]]:
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
