"""The modules that hide a model's gradient, opened one after another.

Source: Yao et al. 2021, arXiv:2102.11860 (stand-ins are chosen by short attacks); Athalye et al.
2018, arXiv:1802.00420, sec. 4.1.
Differs: a stand-in is tried only where a measured fault asks for one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import chain
from typing import NamedTuple

from gradwarden.attack.bpda import Surrogate
from gradwarden.audit.case import Case
from gradwarden.audit.check import Check
from gradwarden.audit.diagnose import diagnose
from gradwarden.audit.probe import Probe, Score
from gradwarden.audit.proposals import cheap, learnt
from gradwarden.audit.route import Route
from gradwarden.audit.stand_ins.near import StandIn
from gradwarden.audit.stand_ins.unsquashed import Unsquashed
from gradwarden.core.protocols import Patch
from gradwarden.core.records import Finding

ROUNDS = 12  # patches at most; a model with more walls than that stays unresolved
ALIKE = 0.5  # share of a module's changes that a stand-in foresees, to be believed as it is
NONE = Score(-1, float("-inf"))
ENOUGH = 0.9  # share of the probed samples with which no further stand-in is looked for
OPENS = 0.5  # ... where cost counts for more


def checks() -> tuple[Check, ...]:
    """Every diagnostic with its default options: those that audit/checks/__init__.py lists."""
    listed = import_module("gradwarden.audit.checks")
    return tuple(getattr(listed, name)() for name in listed.__all__)


class Opened(NamedTuple):
    """What stood in the way, and a patch for each wall that has one."""

    seen: tuple[Finding, ...]
    route: Route
    left: frozenset[tuple[str, str | None]]  # check and module of the walls that still stand

    @property
    def cures(self) -> frozenset[str]:
        return frozenset(finding.cure for finding in self.seen)


@dataclass(frozen=True, eq=False)
class Walls:
    """The modules that hide the gradient of `case`, opened one after another."""

    case: Case
    use_declared: bool
    random: bool  # the model draws by itself
    lean: bool = False  # no stand-in is trained where another opens the model
    made: dict[str, list[StandIn]] = field(default_factory=dict)

    def open(self, probe: Probe) -> Opened:
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
        return Opened(tuple(found.values()), route, left)

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
            enough = OPENS if self.lean else ENOUGH
            if max(scored.values(), default=NONE).fell < enough * len(probe.x):
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
