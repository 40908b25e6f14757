"""The comparison on any tasks, from the pilot runs to the record: each claim by task, then pooled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gradwarden.compare import owner
from gradwarden.compare.between import Pair
from gradwarden.compare.claims import c2_rates
from gradwarden.compare.claims.c1_divergence import ID as DIVERGES
from gradwarden.compare.contenders.clipping import ADAPTIVE, Clipping, advice_on
from gradwarden.compare.evidence import matrix, purpose_of, resting, run_list
from gradwarden.compare.figures import figures, gallery
from gradwarden.compare.judge import judge
from gradwarden.compare.ladder import ladders
from gradwarden.compare.notes import notes, ran
from gradwarden.compare.part import Part
from gradwarden.compare.picks import SECURE, TRAIN, Picks
from gradwarden.compare.plan import carried_out, planned
from gradwarden.compare.pooled import commanded, part_id, pooled, prefix
from gradwarden.compare.results import Results
from gradwarden.compare.runs import Runs
from gradwarden.compare.seconds import origin, seconds_table
from gradwarden.compare.sentences import NOT_RUN
from gradwarden.compare.stage import several
from gradwarden.compare.subjects import Absent, Subjects
from gradwarden.compare.told import FEW, Told
from gradwarden.compare.verdict import Names
from gradwarden.core.comparison import Answer, Comparison, Point
from gradwarden.core.display import Figure, Gallery

Judged = dict[str, Answer]


def compared(
    subjects: Subjects,
    pair: Pair,
    runs: Runs,
    *,
    seeds: int,
    minutes: float,
    least: bool,
    command: str,
) -> Comparison:
    """Runs as much on `subjects` as fits into `minutes`, by what runs cost so far, and judges it.

    With `least`, something of each task whatever it costs.
    """
    count = len(subjects.training) + len(subjects.security)
    runs.note(
        f"{several(count, 'pilot run')} first, which tell what the rest costs; then about "
        f"{minutes:g} minutes at most in all."
    )
    parts, unfit = planned(subjects, pair, runs, seeds)
    absent = (*subjects.absent, *unfit)
    parts = carried_out(parts, pair, runs, 60.0 * minutes, least=least)
    for part in parts:
        if part.left:
            runs.note(f"{part.task.name}: not run in this budget: {part.missing}.")
    return page(parts, absent, pair, command=command, elapsed=runs.elapsed, reused=runs.reused)


def page(
    parts: Sequence[Part],
    absent: Sequence[Absent],
    pair: Pair,
    *,
    command: str,
    elapsed: float,
    reused: int,
) -> Comparison:
    """The record that the finished `parts` amount to."""
    each = [_judged(part, pair) for part in parts]
    answers = _answers(parts, each, pair, command)
    runs = tuple(run for part in parts for run in part.runs)
    told = Told(pair, answers)
    several_tasks = len(parts) + len(absent) > 1
    return Comparison(
        title=told.title([part.task.name for part in parts]),
        summary=tuple(_summary(parts, each, told)),
        contenders=told.contenders,
        bottom_line=told.bottom_line,
        answers=tuple(answers.values()),
        tables=(ran(parts, absent),),
        figures=tuple(f for part in parts for f in _figures(part, len(parts) > 1, command)),
        galleries=tuple(g for part in parts for g in _galleries(part, len(parts) > 1, command)),
        seconds=seconds_table(runs, elapsed, reused),
        notes=tuple(notes(parts, absent)),
        origin=origin(runs, command),
        runs=runs,
        matrix=matrix([(p.task.name, p.task.field) for p in parts], each, answers, absent)
        if several_tasks
        else None,
        evidence=tuple(run_list(part.task.name, part.runs) for part in parts if part.runs),
    )


def _judged(part: Part, pair: Pair) -> Judged:
    """The claims that are about such a task; where one was not run for want of time, it says so."""
    found = judge(part.results, part.picks, pair.alike)
    none = {"C0"} - ({"C0"} if part.purpose == TRAIN and _sizes(part) else set())
    none |= set() if part.picks.words.field else {"M3"}
    return {
        id: _late(answer, part)
        for id, answer in found.items()
        if purpose_of(answer) == part.purpose and id not in none
    }


def _sizes(part: Part) -> tuple[str, ...]:
    return tuple(getattr(part.task, "sizes", ()))


def _late(answer: Answer, part: Part) -> Answer:
    """With what was left out for want of time, where a claim was not run because of that."""
    if answer.answer != NOT_RUN or not part.left:
        return answer
    stages = [stage.what for stage in part.left if answer.id in stage.claims]
    missing = "; ".join(stages) if part.runs else part.missing
    if not missing:
        return answer
    return replace(answer, says=f"Not run in this budget: {missing}.")


def _answers(parts: Sequence[Part], each: Sequence[Judged], pair: Pair, command: str) -> Judged:
    nothing = Results([])
    general = judge(nothing, _general(parts, pair), pair.alike)
    tasks = [part.task.name for part in parts]
    purposes = {part.purpose for part in parts}
    whole = pooled(tasks, each, general)
    if c2_rates.ID in whole:
        whole[c2_rates.ID] = c2_rates.depends(whole)
    of = {
        purpose: [part.task.name for part in parts if part.purpose == purpose and part.runs]
        for purpose in (TRAIN, SECURE)
    }
    return {
        id: resting(commanded(_reasoned(a, purposes), command), of[purpose_of(a)])
        for id, a in whole.items()
    }


def _general(parts: Sequence[Part], pair: Pair) -> Picks:
    """Words that are particular to no task."""
    treats, protects = pair.sides(TRAIN), pair.sides(SECURE)
    return Picks(
        clip="",
        masks=(),
        harden="",
        train=treats[0].noun if treats else "",
        other=treats[1].noun if len(treats) > 1 else "",
        secure=protects[0].noun if protects else "",
        rival=protects[1].noun if len(protects) > 1 else "",
    )


def _reasoned(answer: Answer, purposes: set[str]) -> Answer:
    """Why a claim was not run, where no task here is for it."""
    wanted = purpose_of(answer)
    if wanted in purposes:
        return answer
    return replace(answer, says=f"Not run: no {wanted} task is among these.")


def _summary(parts: Sequence[Part], each: Sequence[Judged], told: Told) -> Iterator[Point]:
    """Three sentences on all tasks; of one or two tasks, one to each question of their owner."""
    if told.pair.alike or len(parts) > FEW:
        yield from told.summary
        return
    for part, found in zip(parts, each, strict=True):
        for point in _sentences(part, found, told.names):
            text = f"{part.task.name}: {point.text}" if len(parts) > 1 else point.text
            yield replace(point, text=text, claims=_anchored(point, part, told.answers))


def _anchored(point: Point, part: Part, answers: Mapping[str, Answer]) -> tuple[str, ...]:
    """The part of the claim that is about this task, where the page has several."""
    own = {p.id for answer in answers.values() for p in answer.parts}
    ids = ((id, part_id(id, part.task.name)) for id in point.claims)
    return tuple(mine if mine in own else id for id, mine in ids)


def _sentences(part: Part, answers: Judged, names: Names) -> Iterator[Point]:
    """One to each question of the task's owner."""
    said = owner.plain(part.purpose, answers, names)
    if part.purpose == TRAIN and part.runs:
        yield said[0]
        yield from _rule(part)
        yield said[1]
    else:
        yield from said


def _rule(part: Part) -> Iterator[Point]:
    """Which setting: of clipping, the bound that clip advises from the first seed's own rate."""
    picks = part.picks
    runs = [r for r in part.results.trained if r.rate == part.task.rate and r.seed == 0]
    treated = next((run for run in runs if run.rule == picks.clip), None)
    if treated is None or not treated.thresholds:
        yield Point(text=f"What was tried is {picks.clip}.", claims=(DIVERGES,))
        return
    advice = advice_on(treated)
    text = f"The bound that the field clips at is {picks.clip}"
    if getattr(part.task, "bound", None) is None:
        text = f"The bound that the pilot run advised is {picks.clip}"
    if picks.train != Clipping().noun:
        text = f"The rule that was named is {picks.clip}"
    text += f"; {advice.role_why}." if advice else "."
    ladder = ladders(part.results.trained, higher=picks.words.higher)[picks.main]
    adaptive = ladder.of(ADAPTIVE.label)
    if adaptive and picks.clip != ADAPTIVE.label:
        shared = {(run.rate, run.seed) for run in adaptive}
        fixed = [r for r in ladder.of(picks.clip) if (r.rate, r.seed) in shared]
        text += (
            f" Of {len(adaptive)} runs, {sum(r.diverged for r in fixed)} diverged with it and "
            f"{sum(r.diverged for r in adaptive)} with the rule Adaptive, which needs no threshold."
        )
    yield Point(text=text, claims=(DIVERGES,))


def _figures(part: Part, prefixed: bool, command: str) -> Iterator[Figure]:
    for figure in figures(part.results, part.picks):
        yield replace(figure, command=command, **_place(figure, part, prefixed))


def _galleries(part: Part, prefixed: bool, command: str) -> Iterator[Gallery]:
    for shown in gallery(part.results):
        yield replace(shown, command=command, **_place(shown, part, prefixed))


def _place(shown: Figure | Gallery, part: Part, prefixed: bool) -> dict[str, Any]:
    """Id and title; with the task's name where the page has several."""
    name = part.task.name
    if not prefixed:
        return {"id": shown.id, "title": shown.title}
    return {"id": prefix(name, shown.id), "title": f"{name}: {shown.title}"}
