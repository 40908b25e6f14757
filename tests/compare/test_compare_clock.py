"""The remaining time learns what each task costs, over all waves of a comparison."""

from __future__ import annotations

import heapq
import math
import random
import time
from collections.abc import Iterable
from typing import NamedTuple

import pytest
from toy_jobs import Toy

from gradwarden.compare.clock import Ahead, Clock, Progress, group
from gradwarden.compare.executor import _ordered

OFF = 3.0  # by what factor a task may cost more or less than expected
NOISE = 1.25  # a single run, beside what its task costs


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the clock on the wall says."""
    shown = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: shown[0])
    return shown


def test_remaining_time_learns_what_runs_cost(now: list[float]) -> None:
    jobs = [Toy(number=n, expected=2.0) for n in range(10)]
    clock = Clock(2)
    clock.expect(jobs)
    assert clock.progress().seconds_left is None
    clock.start(jobs[0])
    clock.finish(jobs[0], 6.0)  # three times what was expected
    assert clock.progress().seconds_left == pytest.approx(9 * 6.0 / 2)
    clock.start(jobs[1])
    now[0] += 4.0
    assert clock.progress().seconds_left == pytest.approx((8 * 6.0 + 2.0) / 2)
    assert clock.progress().latest == "toy: number 0, seed 0"


def test_remaining_time_is_at_least_the_longest_job() -> None:
    jobs = [Toy(number=0, expected=1.0), Toy(number=1, expected=50.0)]
    clock = Clock(2)
    clock.expect(jobs)
    clock.finish(jobs[0], 1.0)
    assert clock.progress().seconds_left == pytest.approx(50.0)


def test_each_task_has_its_own_ratio_and_an_unknown_one_that_of_all() -> None:
    jobs = [Toy(number=n, task=task) for n, task in enumerate("aabbc")]
    clock = Clock(1)
    clock.expect(jobs)
    clock.finish(jobs[0], 2.0)
    clock.finish(jobs[2], 6.0)
    assert clock.progress().seconds_left == pytest.approx(2.0 + 6.0 + 4.0)


def test_what_is_ahead_counts() -> None:
    jobs = [Toy(number=n) for n in range(3)]
    clock = Clock(1)
    clock.expect(jobs[:2], [Ahead("toy", "Toy", 4, 10.0), Ahead("other", "Toy", 1, 5.0)])
    for job in jobs[:2]:
        clock.finish(job, 3.0)
    assert clock.progress().seconds_left == pytest.approx(3 * 10.0 + 3 * 5.0)
    assert (clock.progress().done, clock.progress().total) == (2, 7)
    clock.expect(jobs[2:])  # the next wave is smaller than it was said to be
    assert clock.progress().seconds_left == pytest.approx(3.0)
    assert (clock.progress().done, clock.progress().total) == (2, 3)


def test_no_more_time_is_left_than_until_the_deadline(now: list[float]) -> None:
    jobs = [Toy(number=n) for n in range(9)]
    clock = Clock(1, deadline=130.0)
    clock.expect(jobs)
    clock.finish(jobs[0], 10.0)
    assert clock.progress().seconds_left == pytest.approx(30.0)
    now[0] = 128.0
    assert clock.progress().seconds_left == pytest.approx(2.0)
    now[0] = 131.0
    assert clock.progress().seconds_left == 0.0


def test_work_that_was_expected_to_cost_nothing() -> None:
    jobs = [Toy(number=n, expected=0.0) for n in range(2)]
    clock = Clock(1)
    clock.expect(jobs)
    clock.finish(jobs[0], 1.0)
    assert clock.progress().seconds_left == 0.0


class Planned(NamedTuple):
    """Three waves, and the true seconds of each job."""

    waves: list[list[Toy]]
    seconds: dict[Toy, float]


def planned(draw: random.Random) -> Planned:
    """14 tasks whose true costs differ from the expected ones by a factor of their own."""
    waves: list[list[Toy]] = [[], [], []]
    seconds: dict[Toy, float] = {}
    for task in range(14):
        ratio, base = OFF ** draw.uniform(-1, 1), math.exp(draw.uniform(0, 3))
        trains = task % 2 == 0
        for wave, count in zip(waves, (24, 36, 30) if trains else (9, 9, 0), strict=True):
            for _ in range(count):
                expected = base * (1.0 if trains else draw.choice((1.0, 1.5, 3.5, 7.0)))
                job = Toy(number=len(seconds), task=f"task {task}", expected=expected)
                seconds[job] = expected * ratio * NOISE ** draw.uniform(-1, 1)
                wave.append(job)
    return Planned(waves, seconds)


def summed(jobs: Iterable[Toy]) -> list[Ahead]:
    found: dict[tuple[str, str], list[float]] = {}
    for job in jobs:
        found.setdefault(group(job), []).append(job.expected)
    return [Ahead(*which, len(some), sum(some)) for which, some in found.items()]


def simulated(plan: Planned, now: list[float]) -> list[tuple[float, Progress]]:
    """What is said after each run, in the order of the executor with two workers."""
    clock, said = Clock(2), []
    for number, wave in enumerate(plan.waves):
        clock.expect(wave, summed(job for later in plan.waves[number + 1 :] for job in later))
        queue, running = _ordered(wave, clock), list[tuple[float, int, Toy]]()
        while queue or running:
            while queue and len(running) < 2:
                job = queue.pop(0)
                assert isinstance(job, Toy)
                clock.start(job)
                heapq.heappush(running, (now[0] + plan.seconds[job], job.number, job))
            now[0], _, ended = heapq.heappop(running)
            clock.finish(ended, plan.seconds[ended])
            said.append((now[0], clock.progress()))
    return said


@pytest.mark.parametrize("seed", range(5))
def test_right_within_a_quarter_after_the_first_tenth(seed: int, now: list[float]) -> None:
    """A quarter of what is left; in the last fiftieth, of a fiftieth."""
    began = now[0]
    plan = planned(random.Random(seed))
    said = simulated(plan, now)
    whole = now[0] - began
    assert len(said) == len(plan.seconds)
    for at, progress in said:
        true = now[0] - at
        assert progress.total == len(plan.seconds)
        assert progress.seconds_left is not None
        if at - began >= 0.1 * whole:
            assert abs(progress.seconds_left - true) <= 0.25 * max(true, 0.02 * whole)
    assert [progress.done for _, progress in said] == list(range(1, len(said) + 1))
