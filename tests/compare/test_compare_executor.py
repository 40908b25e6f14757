"""Two persistent workers, longest job first, nothing that others are at, and clean failures."""

from __future__ import annotations

from typing import Any

import pytest
from toy_jobs import Toy

from gradwarden.compare.clock import Clock, Progress
from gradwarden.compare.executor import RunFailed, _ordered, execute
from gradwarden.compare.job import Job


def collect(jobs: list[Toy]) -> tuple[list[tuple[Job, dict[str, Any]]], list[Progress]]:
    results: list[tuple[Job, dict[str, Any]]] = []
    seen: list[Progress] = []
    execute(jobs, lambda job, _, result: results.append((job, result)), seen.append)
    return results, seen


def test_every_job_runs_once_on_two_processes_longest_first() -> None:
    jobs = [Toy(number=n, expected=float(n), seconds=0.3) for n in range(8)]
    results, seen = collect(jobs)
    assert sorted(result["number"] for _, result in results) == list(range(8))
    assert len({result["process"] for _, result in results}) == 2
    ends = [result["number"] for _, result in sorted(results, key=lambda r: float(r[1]["at"]))]
    assert sum(ends[:2]) >= 12  # 7 and 6 start first; a slow start of one worker moves them by one
    assert (seen[0].done, seen[0].seconds_left) == (0, None)
    assert (seen[-1].done, seen[-1].total, seen[-1].seconds_left) == (8, 8, 0.0)
    assert [p.done for p in seen] == sorted(p.done for p in seen)


def test_nothing_to_do() -> None:
    assert collect([])[1][-1].seconds_left == 0.0


def test_a_run_that_raises_is_one_sentence_and_the_others_are_kept() -> None:
    kept: list[Job] = []
    jobs = [Toy(number=0, expected=9.0), Toy(number=1, does="raise", seconds=1.0, expected=8.0)]
    with pytest.raises(RunFailed, match=r"number 1, seed 0 failed with RuntimeError: the toy"):
        execute(jobs, lambda job, *_: kept.append(job))
    assert kept == [jobs[0]]


def test_a_worker_that_dies_is_one_sentence() -> None:
    with pytest.raises(RunFailed, match="a worker process died"):
        execute([Toy(number=0, does="die")], lambda *_: None)


def test_an_interrupt_stops_the_workers() -> None:
    def interrupt(progress: Progress) -> None:
        if progress.done == 1:
            raise KeyboardInterrupt

    jobs = [Toy(number=0), Toy(number=1, seconds=60.0, expected=9.0)]
    with pytest.raises(KeyboardInterrupt):
        execute(jobs, lambda *_: None, interrupt)


def test_one_of_each_task_comes_first_where_its_cost_is_not_known() -> None:
    jobs = [Toy(number=n, expected=float(n), task="a" if n < 4 else "b") for n in range(8)]
    clock = Clock(2)
    clock.expect(jobs)
    assert [job.arm for job in _ordered(jobs, clock)][:3] == ["number 7", "number 3", "number 6"]
    clock.finish(jobs[0], 1.0)
    left = [job.arm for job in _ordered(jobs[1:], clock)]
    assert left == [f"number {n}" for n in (7, 6, 5, 4, 3, 2, 1)]


class Others:
    """Another process is at number 1 until it was asked for thrice; it has finished number 2."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def claim(self, job: Job) -> bool:
        self.asked.append(job.arm)
        return job.arm != "number 1" or self.asked.count("number 1") > 3

    def found(self, job: Job) -> float | None:
        return 1.0 if job.arm == "number 2" else None


def test_what_others_are_at_comes_last_and_what_they_finished_is_not_run() -> None:
    jobs = [Toy(number=n, expected=9.0 - n, seconds=0.1) for n in range(5)]
    clock, others = Clock(2), Others()
    clock.expect(jobs)
    ran: list[str] = []
    seen: list[Progress] = []
    execute(jobs, lambda job, *_: ran.append(job.arm), seen.append, clock, others)
    assert sorted(ran) == ["number 0", "number 1", "number 3", "number 4"]
    assert ran[-1] == "number 1"
    assert (seen[-1].done, seen[-1].total, seen[-1].seconds_left) == (5, 5, 0.0)
