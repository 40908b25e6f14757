"""What is run of a comparison on any tasks: pilots tell the cost, then stages fill what time there is.

The stages of a lower rank come first, over all tasks; of one rank those first whose answers are still
open. A stage that does not fit is left out as a whole, and the page says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple, cast

from gradwarden.compare.between import Pair
from gradwarden.compare.clock import Ahead
from gradwarden.compare.contenders.contender import Protection, Treatment
from gradwarden.compare.executor import WORKERS
from gradwarden.compare.job import Job
from gradwarden.compare.judge import judge
from gradwarden.compare.part import Part, security_picks, training_picks
from gradwarden.compare.picks import SECURE, TRAIN
from gradwarden.compare.results import Results
from gradwarden.compare.runs import Runs
from gradwarden.compare.security_stages import (
    SecurityArms,
    security_arms,
    security_pilot,
    security_stages,
)
from gradwarden.compare.sentences import OPEN
from gradwarden.compare.stage import Stage, several
from gradwarden.compare.subjects import Absent, Subjects
from gradwarden.compare.training_stages import training_arms, training_pilot, training_stages
from gradwarden.core.comparison import Run
from gradwarden.core.errors import BadInput
from gradwarden.tasks.task import SecurityTask, TrainingTask

LEAST = 1e-3  # seconds of a run, which clocks can tell


class Chosen(NamedTuple):
    """A stage that is about to be run, with its runs."""

    part: int  # its place among the parts
    stage: Stage
    jobs: tuple[Job, ...]
    cost: float  # seconds of work


def planned(
    subjects: Subjects, pair: Pair, runs: Runs, seeds: int
) -> tuple[list[Part], tuple[Absent, ...]]:
    """Runs the pilots. A task that a contender has nothing for is absent, too.

    Raises BadInput where none is left.
    """
    treats = cast(Sequence[Treatment], pair.sides(TRAIN))
    protects = cast(Sequence[Protection], pair.sides(SECURE))
    together = treats[0] if treats and not pair.alike else None
    security, absent = _defended(subjects.security, protects, together)
    first: list[Job] = [
        *map(training_pilot, subjects.training),
        *(security_pilot(task) for task, _ in security),
    ]
    pilots = runs.of(first)
    runs.forget_costs()
    parts: list[Part] = []
    for task, pilot in zip(subjects.training, pilots, strict=False):
        try:
            arms = training_arms(treats, task, Results.of([pilot]).trained[0])
        except BadInput as why:
            absent = (*absent, _unfit(task, TRAIN, why, len(subjects.training)))
            continue
        stages = training_stages(task, arms, seeds, _whole(pilot))
        parts.append(Part(task, TRAIN, training_picks(task, arms, treats), stages))
    for (guarded, defences), pilot in zip(security, pilots[len(subjects.training) :], strict=True):
        plan = security_stages(guarded, defences, seeds, max(LEAST, pilot.seconds))
        parts.append(Part(guarded, SECURE, security_picks(guarded, defences, protects), plan))
    return parts, absent


def _defended(
    tasks: Sequence[SecurityTask], sides: Sequence[Protection], together: Treatment | None
) -> tuple[list[tuple[SecurityTask, SecurityArms]], tuple[Absent, ...]]:
    found: list[tuple[SecurityTask, SecurityArms]] = []
    absent: list[Absent] = []
    for task in tasks:
        try:
            found.append((task, security_arms(sides, task, together)))
        except BadInput as why:
            absent.append(_unfit(task, SECURE, why, len(tasks)))
    return found, tuple(absent)


def _unfit(task: TrainingTask | SecurityTask, purpose: str, why: BadInput, number: int) -> Absent:
    """Raises `why` where no other of the `number` tasks is there to go on with."""
    if number == 1:
        raise why
    return Absent(task.name, task.field, purpose, f"not run: {why}")


def _whole(pilot: Run) -> float:
    """Seconds of a run that takes all its steps, by one that perhaps broke off."""
    (found,) = Results.of([pilot]).trained
    return max(LEAST, pilot.seconds * found.steps / max(1, len(found.losses)))


def carried_out(
    parts: list[Part], pair: Pair, runs: Runs, seconds: float, *, least: bool
) -> list[Part]:
    """`parts` with their runs: as many stages as fit into `seconds` since the comparison began.

    With `least` the first stage of each task is run in any case.
    """
    parts = list(parts)
    while any(part.stages for part in parts):
        rank = min(part.stages[0].rank for part in parts if part.stages)
        room = (seconds - runs.elapsed) * WORKERS
        chosen: list[Chosen] = []
        for n in _order(parts, pair, rank):
            while parts[n].stages and parts[n].stages[0].rank == rank:
                parts[n], one = _next(parts[n], n, runs, room, least)
                if one is not None:
                    room -= one.cost
                    chosen.append(one)
        parts = _run(parts, chosen, runs, room)
    return parts


def _next(part: Part, n: int, runs: Runs, room: float, least: bool) -> tuple[Part, Chosen | None]:
    """The next stage of a part where it fits into `room` seconds of work; else it is left out."""
    stage, *rest = part.stages
    jobs = stage.jobs(part.results)
    new = [part.scale(stage.kind) * job.expected for job in jobs if not runs.stored(job)]
    cost, first = sum(new), not part.runs and stage.rank == 0
    # The work is shared, but one long run is not.
    if max(cost, WORKERS * max(new, default=0.0)) <= room or (least and first):
        return part._replace(stages=tuple(rest)), Chosen(n, stage, jobs, cost)
    if first:  # nothing for the later ones to build on
        return part._replace(stages=(), left=part.stages), None
    return part._replace(stages=tuple(rest), left=(*part.left, stage)), None


def _order(parts: Sequence[Part], pair: Pair, rank: int) -> list[int]:
    """The tasks whose next stage has that rank, those with the most open answers first."""
    mine = [n for n, part in enumerate(parts) if part.stages and part.stages[0].rank == rank]
    return sorted(mine, key=lambda n: (-_open(parts[n], pair), n))


def _open(part: Part, pair: Pair) -> int:
    answers = judge(part.results, part.picks, pair.alike) if part.runs else {}
    return sum(answer.answer == OPEN for answer in answers.values())


def _run(parts: list[Part], chosen: Sequence[Chosen], runs: Runs, room: float) -> list[Part]:
    jobs = [job for one in chosen for job in one.jobs]
    if not jobs:
        return parts
    ahead = list(_ahead(parts, room))
    if any(one.cost for one in chosen):  # else all of them are stored
        runs.note(_told(parts, chosen))
    found = iter(runs.of(jobs, ahead))
    for one in chosen:
        part = parts[one.part]
        expected = dict(part.expected)
        cost = sum(job.expected for job in one.jobs)
        expected[one.stage.kind] = expected.get(one.stage.kind, 0.0) + cost
        parts[one.part] = part._replace(
            runs=(*part.runs, *(next(found) for _ in one.jobs)), expected=tuple(expected.items())
        )
    return parts


def _ahead(parts: Sequence[Part], room: float) -> Iterator[Ahead]:
    """What will fit after the stages that are about to be run, as far as is known now."""
    coming = sorted(
        ((stage, part) for part in parts for stage in part.stages), key=lambda pair: pair[0].rank
    )
    for stage, part in coming:
        cost = stage.expected * part.scale(stage.kind)
        if cost <= room:
            room -= cost
            yield Ahead(part.task.name, stage.kind, stage.number, stage.expected)


def _told(parts: Sequence[Part], chosen: Sequence[Chosen]) -> str:
    """What is run next, and what it will cost."""
    some = [one for one in chosen if one.cost]
    minutes = math.ceil(sum(one.cost for one in some) / WORKERS / 6) / 10
    names = list(dict.fromkeys(parts[one.part].task.name for one in some))
    which = names[0] if len(names) == 1 else several(len(names), "task")
    what = list(dict.fromkeys(one.stage.what for one in some))
    more = f" and {several(len(what) - 1, 'other stage')}" if len(what) > 1 else ""
    number = sum(len(one.jobs) for one in some)
    return f"{which}: {what[0]}{more}: {several(number, 'run')}, about {minutes:g} minutes."
