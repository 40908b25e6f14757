"""Runs jobs on two persistent worker processes with one thread each, longest job first."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from gradwarden.compare.job import Job
from gradwarden.core.errors import GradwardenError

WORKERS = 2
TICK = 0.5  # seconds between two looks at the clock


class RunFailed(GradwardenError, RuntimeError):
    """A run raised or its process died; the finished ones are kept."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    done: int
    total: int
    seconds_left: float | None  # None until a first run has finished
    latest: str  # the arm that finished last, "" before


OnProgress = Callable[[Progress], None]
OnResult = Callable[[Job, float, dict[str, Any]], None]


def execute(
    jobs: Sequence[Job],
    on_result: OnResult,
    on_progress: OnProgress | None = None,
    *,
    workers: int = WORKERS,
) -> None:
    """Runs `jobs`; `on_result(job, seconds, result)` is called in this process as each finishes.

    Raises RunFailed, after which nothing further is started. An interrupt stops the workers too.
    """
    clock = Clock(jobs, workers)
    tell = on_progress or (lambda _: None)
    tell(clock.progress())
    if not jobs:
        return
    ahead = sorted(jobs, key=lambda job: -job.expected)
    with _pool(min(workers, len(jobs))) as pool:
        running: dict[Future[tuple[float, dict[str, Any]]], Job] = {}
        while ahead or running:
            while ahead and len(running) < workers:
                running[_submit(pool, ahead[0])] = ahead[0]
                clock.start(ahead.pop(0))
            finished, _ = wait(running, timeout=TICK, return_when=FIRST_COMPLETED)
            for future in finished:
                job = running.pop(future)
                seconds, result = _result(future, job)
                on_result(job, seconds, result)
                clock.finish(job, seconds)
            tell(clock.progress())


class Clock:
    """Remaining time from what finished runs cost beside what was expected of them."""

    def __init__(self, jobs: Sequence[Job], workers: int) -> None:
        self._left = list(jobs)
        self._total, self._workers = len(jobs), workers
        self._spent: dict[str, float] = {}  # by kind of job, seconds measured
        self._expected: dict[str, float] = {}  # by kind of job, seconds expected of the same jobs
        self._started: dict[Job, float] = {}
        self._latest = ""

    def start(self, job: Job) -> None:
        self._started[job] = time.monotonic()

    def finish(self, job: Job, seconds: float) -> None:
        kind = type(job).__name__
        self._spent[kind] = self._spent.get(kind, 0.0) + seconds
        self._expected[kind] = self._expected.get(kind, 0.0) + job.expected
        self._left.remove(job)
        self._started.pop(job, None)
        self._latest = f"{job.task}: {job.arm}, seed {job.seed}"

    def progress(self) -> Progress:
        done = self._total - len(self._left)
        return Progress(
            done=done, total=self._total, seconds_left=self._seconds_left(), latest=self._latest
        )

    def _seconds_left(self) -> float | None:
        if not self._left:
            return 0.0
        if not self._spent:
            return None
        now = time.monotonic()
        each = [
            max(0.0, job.expected * self._scale(job) - (now - self._started.get(job, now)))
            for job in self._left
        ]
        # The work is shared, but the last long job is not.
        return max(sum(each) / self._workers, max(each))

    def _scale(self, job: Job) -> float:
        kind = type(job).__name__
        if kind in self._spent:
            return self._spent[kind] / self._expected[kind]
        return sum(self._spent.values()) / sum(self._expected.values())


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_prepare)
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        processes = list((pool._processes or {}).values())
        pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.terminate()
        raise


def _prepare() -> None:
    """In each worker, once: one thread, no part in the terminal's interrupt, end with the parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    import torch

    torch.set_num_threads(1)


def _timed(job: Job) -> tuple[float, dict[str, Any]]:
    start = time.perf_counter()
    result = job.run()
    return time.perf_counter() - start, result


def _submit(pool: ProcessPoolExecutor, job: Job) -> Future[tuple[float, dict[str, Any]]]:
    try:
        return pool.submit(_timed, job)
    except BrokenProcessPool as why:
        raise RunFailed(_DIED) from why


_DIED = (
    "a worker process died, often for lack of memory; finished runs are kept: free some memory "
    "and run again with --resume"
)


def _result(future: Future[tuple[float, dict[str, Any]]], job: Job) -> tuple[float, dict[str, Any]]:
    try:
        return future.result()
    except BrokenProcessPool as why:
        raise RunFailed(_DIED) from why
    except GradwardenError:
        raise
    except Exception as why:
        raise RunFailed(
            f"{job.task}, {job.arm}, seed {job.seed} failed with {type(why).__name__}: {why}; "
            "finished runs are kept, --resume goes on from them"
        ) from why
