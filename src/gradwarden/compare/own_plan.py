"""The plan of a comparison on any tasks: what fits a budget, as far as the cost is known so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from gradwarden.compare import own
from gradwarden.compare.executor import WORKERS
from gradwarden.compare.job import Job
from gradwarden.compare.own_verdict import SECURE, TRAIN
from gradwarden.compare.picks import Picks, Words
from gradwarden.compare.results import Results
from gradwarden.compare.runs import Runs
from gradwarden.compare.subjects import Subjects
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.comparison import Run
from gradwarden.tasks.task import SecurityTask, TrainingTask

LEAST = 1e-3  # seconds of a run, which clocks can tell


class Part(NamedTuple):
    """One task with its picks, its plan and its runs."""

    task: TrainingTask | SecurityTask
    purpose: str  # TRAIN or SECURE
    picks: Picks
    staged: Callable[[float], tuple[own.Stage, ...]]  # the stages, from what the pilot run costs
    cost: float  # that, in seconds
    fitted: own.Fitted
    runs: tuple[Run, ...] = ()

    @property
    def results(self) -> Results:
        return Results.of(self.runs)


def planned(subjects: Subjects, runs: Runs, seeds: int, seconds: float) -> list[Part]:
    """Runs the pilots. Each task has an equal part of the time: `seconds` on the clock."""
    first: list[Job] = [
        *map(own.training_pilot, subjects.training),
        *map(own.security_pilot, subjects.security),
    ]
    pilots = runs.of(first)
    parts: list[Part] = []
    for training, pilot in zip(subjects.training, pilots, strict=False):
        rule = own.bound(Results.of([pilot]).trained[0])
        staged = partial(own.training_stages, training, rule, seeds)
        picks = training_picks(training, repr(rule))
        parts.append(_part(training, TRAIN, picks, staged, pilot.seconds, seconds))
    for security, pilot in zip(subjects.security, pilots[len(parts) :], strict=True):
        defended = partial(own.security_stages, security)
        picks = security_picks(security)
        parts.append(_part(security, SECURE, picks, defended, pilot.seconds, seconds))
    return parts


def _part(
    task: TrainingTask | SecurityTask,
    purpose: str,
    picks: Picks,
    staged: Callable[[float], tuple[own.Stage, ...]],
    cost: float,
    seconds: float,
) -> Part:
    cost = max(LEAST, cost)
    return Part(task, purpose, picks, staged, cost, own.fitted(staged(cost), seconds))


def finished(parts: Sequence[Part], runs: Runs) -> list[Part]:
    """`parts` with the runs of their plans."""
    found = iter(runs.of([job for part in parts for job in part.fitted.jobs]))
    return [part._replace(runs=tuple(next(found) for _ in part.fitted.jobs)) for part in parts]


def refitted(part: Part, seconds: float) -> Part:
    """Its plan by what its runs did cost, where that lets more stages in.

    A pilot run pays for loading too, so that the first plan is on the safe side.
    """
    spent = sum(run.seconds for run in part.runs)
    expected = sum(job.expected for job in part.fitted.jobs)
    cost = max(LEAST, part.cost * spent / expected)
    again = own.fitted(part.staged(cost), seconds)
    more = len(again.jobs) > len(part.fitted.jobs)
    return part._replace(cost=cost, fitted=again) if more else part


def told(part: Part) -> str:
    """What the runs of a task that are not finished will cost, and what that leaves out."""
    left = len(part.fitted.jobs) - len(part.runs)
    seconds = sum(job.expected for job in part.fitted.jobs[len(part.runs) :]) / WORKERS
    minutes = math.ceil(seconds / 6) / 10
    said = f"{part.task.name}: {counted(left, 'more run' if part.runs else 'run')}"
    missing = "; ".join(part.fitted.left)
    out = f" Not run in this budget: {missing}." if missing else ""
    return f"{said}, about {minutes:g} minutes.{out}"


def counted(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def training_picks(task: TrainingTask, clip: str) -> Picks:
    metric = task.metrics[0]
    words = Words(
        figure=metric.name,
        short=metric.name,
        higher=metric.higher,
        target="" if task.target is None else f"a loss of {task.target:.3g}",
        loss="training loss",
    )
    return Picks(clip=clip, masks=(), harden="", main=(task.net, task.optimizer), words=words)


def security_picks(task: SecurityTask) -> Picks:
    x, _ = task.held_out()
    ball = task.threat.ball
    scaled = isinstance(ball, Scaled)
    kind = type(ball.ball if isinstance(ball, Scaled) else ball).__name__
    words = Words(
        sample="image" if x.ndim == 4 else "sample",
        radius=f"radius ({kind}, {'in units of each feature' if scaled else 'in units of x'})",
    )
    masks = tuple(own.name_of(mask) for mask in own.masks(task))
    return Picks(clip="", masks=masks, harden=own.HARDENED, words=words)
