"""From everything that was run to the record of the audit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden import __version__
from gradwarden.attack.referee import Judged, judge
from gradwarden.attack.table import FROM_THE_START
from gradwarden.audit import gates
from gradwarden.audit.budgets import Budget
from gradwarden.audit.case import Case
from gradwarden.audit.chain import chain
from gradwarden.audit.checklist import Facts, checklist
from gradwarden.audit.credibility import Credibility, credibility
from gradwarden.audit.indicators.reading import read
from gradwarden.audit.search import Found, innermost
from gradwarden.audit.showing import Shown, shown
from gradwarden.audit.slices import slices
from gradwarden.audit.trail import Subject
from gradwarden.audit.verdict import Evidence, decide
from gradwarden.core.display import Figure
from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, mcnemar, proportion
from gradwarden.core.examination import Examination, Gate, Indicator, Item, Witness
from gradwarden.core.provenance import environment, sources
from gradwarden.core.records import Origin

SLICED = 2  # samples


class Told(NamedTuple):
    """What the caller says of the model."""

    name: str
    command: str
    claim: float | None
    certified: Tensor | None  # [N] bool
    notes: tuple[str, ...] = ()  # full sentences


def record(subject: Subject, budget: Budget, found: Found, told: Told) -> Examination:
    """Judges every witness once more, tests the attack itself, and decides."""
    rows, judged = _judged(subject, found)
    held = _Held(subject, found, rows, judged)
    trust = credibility(subject, found.adapted, budget)
    certified = held.certified(told.certified)
    gates_ = (*found.gates, trust.sweep, trust.binarisation, *held.gates())
    n, beyond, around = len(found.naive.ids), held.beyond(), held.around()
    adapted, ledger = found.adapted, found.trail.ledger
    evidence = Evidence(
        clean=found.naive.clean_accuracy,
        naive=found.naive.accuracy,
        adaptive=ledger.accuracy,
        certified=certified,
        gap=beyond / n,
        p_value=mcnemar(beyond, 0),
        around=around / n,
        around_p=mcnemar(around, 0),
        lost=int((~judged.confirmed).sum()) / n,
        hiding=tuple(finding.why for finding in adapted.hiding),
        open=tuple(finding.why for finding in adapted.open),
        gates=gates_,
        claim=told.claim,
    )
    verdict, reasons = decide(evidence)
    witnesses = held.witnesses()
    showing = shown(witnesses, subject.x, found.trail.x_adv, subject.threat, ids=subject.ids)
    case = _case(subject, budget)
    return Examination(
        model=told.name,
        threat=repr(subject.threat),
        verdict=verdict,
        reasons=reasons,
        clean=evidence.clean,
        noise=found.noise.accuracy,
        naive=evidence.naive,
        adaptive=evidence.adaptive,
        certified=certified,
        claim=told.claim,
        p_value=evidence.p_value,
        findings=adapted.findings,
        patches=tuple(part.says for part in adapted.route.parts()),
        naive_ledger=found.naive,
        adaptive_ledger=ledger,
        witnesses=witnesses,
        budget=budget.name,
        black_box=trust.alone,
        removed=found.trail.removed(),
        gates=gates_,
        chain=chain(case, adapted.findings, adapted.patches),
        indicators=_indicators(case, budget),
        checklist=_checklist(subject, budget, found, trust, evidence),
        figures=tuple(_figures(subject, found, trust, certified, told, showing, rows, judged)),
        galleries=showing.galleries,
        tables=showing.tables,
        notes=(*told.notes, *ledger.notes, *showing.notes),
        origin=Origin(
            version=__version__,
            command=told.command,
            environment=environment(),
            sources=sources([__name__, "gradwarden.audit.checks"]),
            seeds=(subject.seed,),
        ),
    )


def _judged(subject: Subject, found: Found) -> tuple[Tensor, Judged]:
    """Every sample that an attack broke, judged once more -> rows [K], the referee's word."""
    broken = found.trail.ledger.broken
    fell = [i for i, b in enumerate(broken) if b is not None and b != FROM_THE_START]
    rows = torch.tensor(fell, dtype=torch.long, device=subject.x.device)
    points = found.trail.x_adv[rows]
    here = (subject.x[rows], subject.y[rows], subject.threat, subject.draws)
    return rows, judge(subject.model, points, *here)


class _Held(NamedTuple):
    """What the referee says of the points at `rows` [K], on the second look."""

    subject: Subject
    found: Found
    rows: Tensor
    judged: Judged

    def beyond(self) -> int:
        """How many hold that the naive attack had not broken."""
        return len(self._beyond())

    def around(self) -> int:
        """How many of these fell to nothing that follows the model's own gradient alone."""
        own = {"own"} if self.found.adapted.route.parts() else {"own", "full", "longer"}
        return sum(self.found.trail.by.get(row) not in own for row in self._beyond())

    def _beyond(self) -> list[int]:
        naive = self.found.naive.broken
        return [row for row in self.rows[self.judged.confirmed].tolist() if naive[row] is None]

    def gates(self) -> Iterator[Gate]:
        yield gates.findings(self.found.adapted.open)
        yield gates.constraints(len(self.rows), int(self.judged.allowed.sum()))

    def certified(self, certificate: Tensor | None) -> Estimate | None:
        """Raises BadInput where a witness contradicts the certificate."""
        if certificate is None:
            return None
        wrong = self.rows[self.judged.confirmed & certificate[self.rows]].tolist()
        if wrong:
            raise BadInput(
                f"the certificate is wrong: an attack breaks {len(wrong)} certified samples, first "
                f"sample {self.found.naive.ids[wrong[0]]}, at a point that the threat allows"
            )
        return proportion(int(certificate.sum()), len(certificate))

    def witnesses(self) -> tuple[Witness, ...]:
        """Those that the naive attack had not broken come first."""
        subject, trail = self.subject, self.found.trail
        sizes = subject.threat.ball.size(trail.x_adv[self.rows] - subject.x[self.rows])
        naive = self.found.naive.broken
        places = [p for p, holds in enumerate(self.judged.confirmed.tolist()) if holds]
        places.sort(key=lambda p: naive[int(self.rows[p])] is not None)
        return tuple(self._witness(place, float(sizes[place])) for place in places)

    def _witness(self, place: int, size: float) -> Witness:
        row, ledger = int(self.rows[place]), self.found.trail.ledger
        how = ledger.broken[row]
        return Witness(
            sample=ledger.ids[row],
            label=int(self.subject.y[row]),
            predicted=int(self.judged.predicted[place]),
            attack="" if how is None else how.attack,
            size=size,
        )


def _case(subject: Subject, budget: Budget) -> Case:
    some = slice(budget.diagnosed)
    return Case(
        model=subject.model,
        x=subject.x[some],
        y=subject.y[some],
        threat=subject.threat,
        seed=subject.seed,
    )


def _indicators(case: Case, budget: Budget) -> tuple[Indicator, ...]:
    return read(case) if budget.indicators else ()


def _figures(
    subject: Subject,
    found: Found,
    trust: Credibility,
    certified: Estimate | None,
    told: Told,
    showing: Shown,
    rows: Tensor,
    judged: Judged,
) -> Iterator[Figure]:
    radius = trust.figure(told.command, certified, float(subject.threat.ball.radius))
    if radius is not None:
        yield radius
    yield from showing.figures
    some = rows[judged.confirmed][:SLICED]
    if len(some):
        points = (subject.x[some], subject.y[some], found.trail.x_adv[some], subject.threat)
        names = [subject.ids[row] for row in some.tolist()]
        yield from slices(subject.model, *points, ids=names, seed=subject.seed)


def _checklist(
    subject: Subject, budget: Budget, found: Found, trust: Credibility, evidence: Evidence
) -> tuple[Item, ...]:
    adapted, series = found.adapted, trust.adaptive.series
    walls = [f for f in (*adapted.hiding, *adapted.open) if f.module is not None]
    blocked = tuple(dict.fromkeys(str(finding.module) for finding in walls))
    open_ = {str(finding.module) for finding in adapted.open}
    ran = found.ran
    one_step = found.naive.stages[0] if found.naive.stages else None
    right = sum(found.naive.clean)
    many, longest = trust.naive.here, innermost(found.longest)
    facts = Facts(
        clean=evidence.clean,
        one_step=None if one_step is None else (right - one_step.broken) / len(found.naive.ids),
        iterative=None if many is None else many.value,
        radii=series.x if series is not None else (),
        by_radius=series.y if series is not None else (),
        steps=int(getattr(longest, "steps", 0)),
        restarts=int(getattr(longest, "restarts", 0)),
        gradient_free=ran.get("queries", ""),
        hard_label=ran.get("decisions", ""),
        transfer=ran.get("transfer", ""),
        missed=found.missed / len(found.naive.ids) if ran else None,
        noise_draws=int(getattr(budget.noise, "draws", 0)),
        noise_missed=found.noise_alone / len(found.naive.ids),
        draws=adapted.route.draws,
        stochastic=subject.random,
        blocked=blocked,
        around=tuple(path for path in blocked if path not in open_),
        attacks=len(found.trail.ledger.attacks),
        gates=evidence.gates,
    )
    return checklist(facts)
