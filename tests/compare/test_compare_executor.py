"""Two persistent workers, longest job first, a remaining time that learns, and clean failures."""

from __future__ import annotations

import time
from typing import Any

import pytest
from toy_jobs import Toy

from gradwarden.compare.executor import Clock, Progress, RunFailed, execute
from gradwarden.compare.job import Job


def collect(jobs: list[Toy]) -> tuple[list[tuple[Job, dict[str, Any]]], list[Progress]]:
    results: list[tuple[Job, dict[str, Any]]] = []
    seen: list[Progress] = []
    execute(jobs, lambda job, _, result: results.append((job, result)), seen.append)
    return results, seen


def test_every_job_runs_once_on_two_processes_longest_first() -> None:
    jobs = [Toy(number=n, expected=float(n), seconds=0.05) for n in range(8)]
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


def test_remaining_time_learns_what_each_kind_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    jobs = [Toy(number=n, expected=2.0) for n in range(10)]
    clock = Clock(jobs, workers=2)
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
    clock = Clock(jobs, workers=2)
    clock.finish(jobs[0], 1.0)
    assert clock.progress().seconds_left == pytest.approx(50.0)
