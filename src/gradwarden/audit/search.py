"""Runs everything that an audit tries, in order, each on whoever still stands.

Source: Tramer et al. 2020, arXiv:2002.08347; Carlini et al. 2019, arXiv:1902.06705, sec. 4.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import Surrogate
from gradwarden.attack.capgd import CAPGD
from gradwarden.attack.memory import out_of_memory
from gradwarden.attack.transfer import Transfer
from gradwarden.audit import gates
from gradwarden.audit.budgets import NAIVE, Budget
from gradwarden.audit.case import Case
from gradwarden.audit.planner import Adapted, adapt
from gradwarden.audit.stages import Search, black_box, costs, passable, white_box
from gradwarden.audit.stand_ins.frozen import frozen
from gradwarden.audit.stand_ins.near import StandIn
from gradwarden.audit.stand_ins.stripped import Stripped, strippable
from gradwarden.audit.stand_ins.student import student
from gradwarden.audit.trail import Subject, Trail
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.examination import Gate
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Model

ON_SOURCES = APGD(loss="margin", steps=40)
PUPILS = 256  # samples at most that a student learns the neighbourhood of

SHARES = {  # of the work, as far as that is known before it begins
    "noise": 2,
    "naive": 10,
    "forensics": 5,
    "own": 3,
    "full": 40,
    "queries": 20,
    "longer": 10,
    "decisions": 8,
    "naive curve": 2,
    "adaptive curve": 3,
    "without a gradient curve": 2,
    "binarisation": 4,
}


class Found(NamedTuple):
    """The same samples under noise, the naive and every other attack."""

    adapted: Adapted
    noise: Ledger
    naive: Ledger
    trail: Trail
    gates: tuple[Gate, ...]
    missed: int  # samples that fell to what follows no gradient, and to nothing that does
    noise_alone: int  # ... to random points
    ran: dict[str, str]  # names of the attacks of each search without a gradient
    longest: Attack  # the longest search along the gradient


def expected(budget: Budget, n: int) -> dict[str, int]:
    """The parts of an audit of `n` samples and what they cost, for progress."""
    parts = dict(SHARES)
    if budget.decisions is None:
        del parts["decisions"]
    return {name: share * max(n, 1) for name, share in parts.items()}


def attack(subject: Subject, budget: Budget, classes: int, use_declared: bool) -> Found:
    """Noise, the naive attacks, the diagnosis, and then everything that it leads to."""
    every = torch.arange(len(subject.x), device=subject.x.device)
    noise, _ = subject.run("noise", [budget.noise], every)
    trail = Trail(subject, "naive", NAIVE, "FGSM and 40 steps of PGD on cross-entropy")
    naive = trail.ledger
    adapted = adapt(
        subject.model,
        subject.x,
        subject.y,
        subject.threat,
        seed=subject.seed,
        budget=budget,
        standing=trail.standing,
        use_declared=use_declared,
    )
    subject.pace.skip("forensics")
    search = _Searching(subject, budget, classes, adapted, trail, passable(subject, adapted.route))
    search.along_the_gradient()
    fell, noise_alone, ran = search.without_one()
    converged = search.longer()
    missed = search.missed(fell)
    black_box = gates.black_box(missed, len(subject.x), list(ran))
    return Found(
        adapted,
        noise,
        naive,
        trail,
        (converged, black_box),
        missed,
        noise_alone,
        ran,
        search.longest(),
    )


class _Searching(NamedTuple):
    """What is tried after the diagnosis; every method goes on with whoever stands."""

    subject: Subject
    budget: Budget
    classes: int
    adapted: Adapted
    trail: Trail
    passable: bool  # some sample has a gradient along the route

    def along_the_gradient(self) -> None:
        for search in white_box(
            self.subject, self.adapted, self.budget, self.classes, self.passable
        ):
            self._run(search)

    def without_one(self) -> tuple[Tensor, int, dict[str, str]]:
        """Rows [K] that fell, how many of them to random points, and the attacks of each search."""
        searches = [
            *black_box(self.subject, self.budget, self.classes, self.passable, self._sources()),
            Search("random points", "random points", None, (self.budget.noise,)),
        ]
        decisions = self.budget.decisions
        if decisions is not None and self._decidable():
            searches.append(Search("decisions", "decisions alone", None, (decisions,)))
        fell: dict[str, Tensor] = {}
        ran: dict[str, str] = {}
        for search in searches:
            if search.attacks and self.trail.standing.any():
                most = self.budget.deciding if search.name == "decisions" else None
                fell[search.name] = self._run(search, most)
                ran[search.name] = ", ".join(map(_name, search.attacks))
        self.subject.pace.skip("decisions")
        none = torch.zeros(0, dtype=torch.long, device=self.subject.x.device)
        rows = torch.cat([none, *fell.values()])
        return rows, len(fell.get("random points", ())), ran

    def longer(self) -> Gate:
        """Whether a search of twice the length still breaks any; those who fall, fall."""
        n, standing = len(self.subject.x), int(self.trail.standing.sum())
        tried = min(standing, self.budget.converging)
        fell = 0
        if self.passable and tried:
            attacks = (self.longest(),)
            says = "a search twice as long"
            fell = len(self._run(Search("longer", says, None, attacks), self.budget.converging))
        self.subject.pace.skip("longer")
        if not self.passable:
            return gates.unreachable()
        return gates.converged(tried, fell, standing, n)

    def missed(self, fell: Tensor) -> int:
        """How many of the rows `fell` [K] a longer search along the gradient does not break."""
        if not len(fell):
            return 0
        if not self.passable:
            return len(fell)
        ledger, _ = self.subject.run("missed", [self.longest()], fell)
        return sum(broken is None for broken in ledger.broken)

    def _run(self, search: Search, most: int | None = None) -> Tensor:
        return self.trail.go_on(
            search.name,
            search.attacks,
            search.says,
            module=search.module,
            most=most,
            costs=costs(search.attacks, self.classes),
        )

    def longest(self) -> Attack:
        """The search of twice the length."""
        if self.subject.threat.constraints is not None:
            return self.adapted.wrap(CAPGD(loss="margin", steps=100, restarts=10))
        route = self.adapted.route
        return route.wrap(self.budget.longer if route.price == 1 else self.budget.drawing[-1])

    def _decidable(self) -> bool:
        """Decisions are followed in two norms, of models that do not draw, without relations."""
        subject = self.subject
        return (
            isinstance(subject.threat.ball, Linf | L2)
            and subject.threat.constraints is None
            and not subject.random
        )

    def _sources(self) -> tuple[Transfer, ...]:
        """The base without what hides the gradient, one fixed draw, a student: where any is."""
        subject, adapted = self.subject, self.adapted
        suspect = (*adapted.hiding, *adapted.open)
        if not self.budget.students or not suspect or not self.trail.standing.any():
            return ()
        case = Case(
            model=subject.model,
            x=subject.x[:PUPILS],
            y=subject.y[:PUPILS],
            threat=subject.threat,
            seed=subject.seed,
        )
        models: dict[str, Model | None] = {}
        named = {finding.module for finding in suspect}
        paths = [path for path in strippable(case) if path in named]
        base = Stripped(subject.model, paths)
        if paths and _answers(base, case.x, self.classes):
            models["stripped"] = base
        if subject.random:
            models["frozen"] = frozen(subject.model, case.x, seed=subject.seed)
        pupil = _taught(case, self.budget.students)
        if pupil is not None and isinstance(pupil.patch, Surrogate):
            models["student"] = pupil.patch.module
        return tuple(
            Transfer(attack=ON_SOURCES, source=model, name=name)
            for name, model in models.items()
            if model is not None
        )


def _taught(case: Case, steps: int) -> StandIn | None:
    """A student, of a model that answers at points off its data too."""
    try:
        return student(case, steps=steps)
    except Exception as why:
        if out_of_memory(why):
            raise
        return None


def _answers(model: Model, x: Tensor, classes: int) -> bool:
    """Whether what is left of a model still is one."""
    try:
        with torch.no_grad():
            return model(x[:2].clone()).shape == (len(x[:2]), classes)
    except (BadInput, RuntimeError, TypeError, ValueError, IndexError):
        return False


def innermost(attack: Attack) -> Attack:
    """The attack that all others wrap."""
    inner = getattr(attack, "attack", None)
    return attack if inner is None else innermost(inner)


def _name(attack: Attack) -> str:
    inner = getattr(attack, "attack", None)
    return type(attack).__name__ if inner is None else f"{type(attack).__name__} of {_name(inner)}"
