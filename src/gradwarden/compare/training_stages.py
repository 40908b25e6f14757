"""The plan of a training task: a ladder of rates first, then seeds and controls where it matters.

Every stage is whole, so that arms have the same rates and seeds at each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from gradwarden.compare.claims.k1_lower_rate import effective_rate
from gradwarden.compare.contenders.clipping import ADAPTIVE
from gradwarden.compare.contenders.contender import Treatment, label_of
from gradwarden.compare.growth import GrowthJob
from gradwarden.compare.job import Job
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.results import Results, Trained
from gradwarden.compare.stage import Jobs, Stage, several
from gradwarden.compare.training import TrainingJob
from gradwarden.core.errors import BadInput
from gradwarden.tasks.task import TrainingTask

FACTORS = (0.5, 1.0, 2.0, 4.0)  # of the task's rate
BEYOND = (0.125, 0.25, 8.0, 16.0)  # where an arm's edge, or its best rate, may lie past the ladder
EPISODIC = (1.0, 4.0)
FEW, MANY = 2, 5  # seeds: for an interval at all, and for one that tells
GROWN = (0, 20)  # steps: a fresh net, and one past its worst
Arm = tuple[Treatment, ...]


class TrainingArms(NamedTuple):
    """What a training task is run with."""

    judged: Arm
    base: Arm  # what it is held against
    beside: tuple[Arm, ...]  # on the same ladder, for the page to show
    controls: tuple[Arm, ...]  # around the edge of stability alone

    @property
    def ladder(self) -> tuple[Arm, ...]:
        return (self.base, self.judged, *self.beside)


def training_pilot(task: TrainingTask) -> TrainingJob:
    """The run that is first: clipped by Adaptive, at the task's own rate."""
    return _job(task, task.rate, (ADAPTIVE,), 0, 1.0)


def training_arms(sides: Sequence[Treatment], task: TrainingTask, pilot: Trained) -> TrainingArms:
    """Of one side and nothing, with what belongs beside it; of two: both, neither, and each alone."""
    first, *others = (side.fitted(task, pilot) for side in sides)
    if others and first.label == others[0].label:
        raise BadInput(
            f"task {task.name}: both contenders come to {first.label}; name two that differ"
        )
    if not others:
        beside, controls = (
            tuple((o,) for o in some) for some in (sides[0].beside, sides[0].controls)
        )
        return TrainingArms((first,), (), beside, controls)
    return TrainingArms((first,), (others[0],), ((), (first, others[0])), ())


def training_stages(
    task: TrainingTask, arms: TrainingArms, seeds: int, seconds: float
) -> tuple[Stage, ...]:
    """`seconds` is what one run costs; `seeds` how many an arm has in the end."""
    if task.episodic:
        return tuple(_episodic(task, arms, seeds, seconds))
    return tuple(_ladder(task, arms, seeds, seconds))


def _episodic(
    task: TrainingTask, arms: TrainingArms, seeds: int, seconds: float
) -> Iterator[Stage]:
    rates = [factor * task.rate for factor in EPISODIC]
    for rank, some in ((0, range(min(FEW, seeds))), (3, range(FEW, seeds))):
        jobs = _grid(task, arms.ladder, rates, some, seconds)
        what = "two rates, two seeds" if rank == 0 else _later(seeds)
        if jobs:
            yield _known(what, rank, jobs)


def _ladder(task: TrainingTask, arms: TrainingArms, seeds: int, seconds: float) -> Iterator[Stage]:
    few, rates = range(FEW), [factor * task.rate for factor in FACTORS]
    pair = (arms.base, arms.judged)
    yield _known("four rates, two seeds", 0, _grid(task, pair, rates, few, seconds))
    for arm in arms.beside:
        what = label_of(arm) or "no treatment"
        yield _known(f"{what} at four rates", 1, _grid(task, (arm,), rates, few, seconds))
    growth = _growth(task, seconds)
    if growth:
        yield _known("gradient norm against length and depth", 1, growth, "C0")

    def stage(what: str, rank: int, number: int, jobs: Jobs) -> Stage:
        return Stage(what, rank, number, number * seconds, jobs, TrainingJob.__name__)

    every = len(arms.ladder)
    yield stage(
        "rates past the ladder's ends, where an edge lies there",
        2,
        2 * FEW * every,
        partial(_beyond, task, arms, seconds),
    )
    if seeds > FEW:
        yield stage(
            f"{_later(seeds)} at the rates that matter",
            3,
            3 * (seeds - FEW) * every,
            partial(_seeds, task, arms, range(FEW, seeds), seconds),
        )
    if not arms.base:
        jobs = partial(_effective, task, arms, seconds)
        lower = stage("no treatment at the effective rate", 4, seeds, jobs)
        yield lower._replace(claims=("K1",))
    if arms.controls:
        yield stage(
            f"{several(len(arms.controls), 'other treatment')} at the two rates around the edge",
            5,
            2 * FEW * len(arms.controls),
            partial(_controls, task, arms, seconds),
        )


def _later(seeds: int) -> str:
    return f"seeds {FEW + 1} to {seeds}" if seeds > FEW + 1 else f"seed {seeds}"


def _beyond(
    task: TrainingTask, arms: TrainingArms, seconds: float, found: Results
) -> tuple[Job, ...]:
    """Higher rates where an arm is stable at the last one, lower where one is at none."""
    ladder, (base, judged) = _found(task, arms, found)
    tops = [
        ladder.top(arm, seed, ladder.rates(base, judged))
        for arm in (base, judged)
        for seed in ladder.seeds
    ]
    best = [ladder.chosen(arm) for arm in (base, judged)]
    lowest = ladder.rates(base, judged)[0]
    higher = any(top.bound == "at least" for top in tops)
    lower = any(top.bound == "at most" for top in tops) or lowest in best
    factors = [f for f in BEYOND if (f > 1.0 and higher) or (f < 1.0 and lower)]
    return _grid(task, arms.ladder, [f * task.rate for f in factors], range(FEW), seconds)


def _seeds(
    task: TrainingTask, arms: TrainingArms, seeds: range, seconds: float, found: Results
) -> tuple[Job, ...]:
    ladder, names = _found(task, arms, found)
    return _grid(task, arms.ladder, window(ladder, *names), seeds, seconds)


def window(ladder: Ladder, base: str, judged: str) -> list[float]:
    """The rates between which both arms have their best rate and their edge, one past it included.

    All rates, where an arm has neither.
    """
    rates = ladder.rates(base, judged)
    marks = set[int]()
    for arm in (base, judged):
        best = ladder.chosen(arm)
        marks |= set() if best is None else {rates.index(best)}
        for seed in ladder.seeds:
            top = ladder.top(arm, seed, rates)
            edge = rates.index(top.rate)
            marks |= {edge} if top.bound else {edge, edge + 1}
    low, high = min(marks), max(marks)
    low -= low == high == len(rates) - 1  # a ladder has two rungs at least
    return rates[max(0, low) : max(high, low + 1) + 1]


def edge(ladder: Ladder, base: str, judged: str) -> list[float]:
    """The largest rate at which `base` is stable with every seed, and the one above it."""
    rates = ladder.rates(base, judged)
    stable = [rate for rate in rates if all(ladder.stable(run) for run in ladder.of(base, [rate]))]
    at = rates.index(stable[-1]) if stable else 0
    at = min(at, max(0, len(rates) - 2))
    return rates[at : at + 2]


def _effective(
    task: TrainingTask, arms: TrainingArms, seconds: float, found: Results
) -> tuple[Job, ...]:
    """What the judged arm's best rate amounts to, without it, for all its seeds."""
    ladder = _whole(task, found)
    rate = ladder.chosen(label_of(arms.judged))
    if rate is None:
        return ()
    runs = ladder.of(label_of(arms.judged), [rate])
    if effective_rate(runs) >= rate:  # its steps are no shorter
        return ()
    same = _grid(task, ((),), [effective_rate(runs)], sorted(r.seed for r in runs), seconds)
    done = {(run.rate, run.seed) for run in found.trained if run.rule == ""}
    return tuple(job for job in same if (job.rate, job.seed) not in done)


def _controls(
    task: TrainingTask, arms: TrainingArms, seconds: float, found: Results
) -> tuple[Job, ...]:
    ladder, names = _found(task, arms, found)
    return _grid(task, arms.controls, edge(ladder, *names), range(FEW), seconds)


def _found(
    task: TrainingTask, arms: TrainingArms, found: Results
) -> tuple[Ladder, tuple[str, str]]:
    """The ladder of the two arms that are held against each other; their names."""
    names = label_of(arms.base), label_of(arms.judged)
    return _whole(task, found).between(*names), names


def _whole(task: TrainingTask, found: Results) -> Ladder:
    return ladders(found.trained, higher=task.metrics[0].higher)[task.net, task.optimizer]


def _growth(task: TrainingTask, seconds: float) -> tuple[Job, ...]:
    """A tenth of a run's steps each, of nets that are up to eight layers deep."""
    return tuple(
        GrowthJob(
            of=task,
            along=along,
            steps=steps,
            rate=max(FACTORS) * task.rate if steps else 0.0,
            seed=seed,
            expected=seconds / 2,
        )
        for along in task.sizes
        for steps in GROWN
        for seed in range(FEW + 1)
    )


def _grid(
    task: TrainingTask,
    arms: Sequence[Arm],
    rates: Sequence[float],
    seeds: Sequence[int],
    seconds: float,
) -> tuple[TrainingJob, ...]:
    return tuple(
        _job(task, rate, arm, seed, seconds) for seed in seeds for rate in rates for arm in arms
    )


def _job(task: TrainingTask, rate: float, arm: Arm, seed: int, seconds: float) -> TrainingJob:
    return TrainingJob(
        of=task, optimizer=task.optimizer, rate=rate, treatments=arm, seed=seed, expected=seconds
    )


def _known(what: str, rank: int, jobs: tuple[Job, ...], *claims: str) -> Stage:
    """A stage whose runs do not depend on what the ones before it find."""
    expected = sum(job.expected for job in jobs)
    return Stage(what, rank, len(jobs), expected, lambda _: jobs, type(jobs[0]).__name__, claims)
