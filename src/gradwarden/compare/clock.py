"""How much of a comparison is done, and how long the rest will take."""

from __future__ import annotations

import time
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from gradwarden.compare.job import Job

Group = tuple[str, str]  # task and kind of job: what one unit of expected cost comes to is alike


class Ahead(NamedTuple):
    """Runs that will follow the known ones, and are not planned one by one yet."""

    task: str
    kind: str  # class of the jobs, for example "TrainingJob"
    number: int
    expected: float  # seconds on one core, of all of them together


@dataclass(frozen=True, kw_only=True)
class Progress:
    done: int  # never falls
    total: int
    seconds_left: float | None  # None until a first run has finished
    latest: str  # the arm that finished last, "" before


OnProgress = Callable[[Progress], None]


class Clock:
    """Remaining time from what finished runs cost beside what was expected of them.

    `workers` runs go on at a time. What is left is at most the time until `deadline`, by
    `time.monotonic`. Of each group the ratio of measured to expected seconds is learned; one of
    which nothing has finished goes by the ratio of all.
    """

    def __init__(self, workers: int, deadline: float | None = None) -> None:
        self._workers, self._deadline = workers, deadline
        self._waiting: dict[Group, list[float]] = {}  # expected seconds of known jobs, ascending
        self._started: dict[Job, float] = {}
        self._ahead: tuple[Ahead, ...] = ()
        self._spent: dict[Group, float] = {}  # seconds measured
        self._expected: dict[Group, float] = {}  # seconds expected of the same jobs
        self._done, self._latest = 0, ""

    def expect(self, jobs: Iterable[Job], ahead: Iterable[Ahead] = ()) -> None:
        """`jobs` come to those that are known; `ahead` is all that follows, by now."""
        for job in jobs:
            insort(self._waiting.setdefault(group(job), []), job.expected)
        self._ahead = tuple(ahead)

    def forget(self) -> None:
        """What runs cost so far: pilot runs pay for loading, and others are expected by them."""
        self._spent.clear()
        self._expected.clear()

    def measured(self, job: Job) -> bool:
        """Whether a run of its group has finished."""
        return group(job) in self._spent

    def start(self, job: Job) -> None:
        self._take(job)
        self._started[job] = time.monotonic()

    def finish(self, job: Job, seconds: float) -> None:
        """Here, or elsewhere without a start."""
        if self._started.pop(job, None) is None:
            self._take(job)
        which = group(job)
        self._spent[which] = self._spent.get(which, 0.0) + seconds
        self._expected[which] = self._expected.get(which, 0.0) + job.expected
        self._done += 1
        self._latest = f"{job.task}: {job.arm}, seed {job.seed}"

    def progress(self) -> Progress:
        known = len(self._started) + sum(map(len, self._waiting.values()))
        total = self._done + known + sum(some.number for some in self._ahead)
        left = self._seconds_left()
        if left is not None and self._deadline is not None:
            left = min(left, max(0.0, self._deadline - time.monotonic()))
        return Progress(done=self._done, total=total, seconds_left=left, latest=self._latest)

    def _take(self, job: Job) -> None:
        waiting = self._waiting[group(job)]
        waiting.pop(bisect_left(waiting, job.expected))

    def _seconds_left(self) -> float | None:
        if not self._started and not any(self._waiting.values()) and not self._ahead:
            return 0.0
        if not self._spent:
            return None
        now = time.monotonic()
        running = [
            max(0.0, job.expected * self._scale(group(job)) - (now - began))
            for job, began in self._started.items()
        ]
        waiting = {which: self._scale(which) for which, some in self._waiting.items() if some}
        work = sum(running) + sum(sum(self._waiting[g]) * scale for g, scale in waiting.items())
        work += sum(some.expected * self._scale(some[:2]) for some in self._ahead)
        # The work is shared, but the last long job is not.
        longest = [self._waiting[g][-1] * scale for g, scale in waiting.items()]
        return max(work / self._workers, *running, *longest, 0.0)

    def _scale(self, which: Group) -> float:
        if self._expected.get(which):
            return self._spent[which] / self._expected[which]
        expected = sum(self._expected.values())
        return sum(self._spent.values()) / expected if expected else 1.0


def group(job: Job) -> Group:
    return job.task, type(job).__name__
