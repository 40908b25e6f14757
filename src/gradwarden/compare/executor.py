"""Runs jobs on two persistent worker processes with one thread each."""

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
from typing import Any, Protocol

from gradwarden.compare.clock import Clock, Group, OnProgress, group
from gradwarden.compare.job import Job
from gradwarden.core.errors import GradwardenError

WORKERS = 2
TICK = 0.5  # seconds between two looks at the clock


class RunFailed(GradwardenError, RuntimeError):
    """A run raised or its process died; the finished ones are kept."""


class Shared(Protocol):
    """What several processes agree on, so that none does the work of another."""

    def claim(self, job: Job) -> bool:
        """Whether this process may run it: no other one is at it."""
        ...

    def found(self, job: Job) -> float | None:
        """Seconds of the run, where another process has finished it; asked of a claimed job."""
        ...


OnResult = Callable[[Job, float, dict[str, Any]], None]


def execute(
    jobs: Sequence[Job],
    on_result: OnResult,
    on_progress: OnProgress | None = None,
    clock: Clock | None = None,
    shared: Shared | None = None,
    *,
    workers: int = WORKERS,
) -> None:
    """Runs `jobs`; `on_result(job, seconds, result)` is called in this process as each finishes.

    `clock`, where given, expects them already. With `shared`, jobs that others are at come last,
    and are waited for. Raises RunFailed, after which nothing further is started. An interrupt stops
    the workers too.
    """
    if clock is None:
        clock = Clock(workers)
        clock.expect(jobs)
    tell = on_progress or (lambda _: None)
    tell(clock.progress())
    if not jobs:
        return
    ahead = _ordered(jobs, clock)
    with _pool(min(workers, len(jobs))) as pool:
        running: dict[Future[tuple[float, dict[str, Any]]], Job] = {}
        while ahead or running:
            while len(running) < workers and (free := _next(ahead, clock, shared)) is not None:
                running[_submit(pool, free)] = free
                clock.start(free)
            if not running and ahead:
                time.sleep(TICK)  # others are at them all
            for future in wait(running, timeout=TICK, return_when=FIRST_COMPLETED).done:
                job = running.pop(future)
                seconds, result = _result(future, job)
                on_result(job, seconds, result)
                clock.finish(job, seconds)
            tell(clock.progress())


def _ordered(jobs: Sequence[Job], clock: Clock) -> list[Job]:
    """Longest first; before them one of each group whose true cost is not known yet."""
    known: set[Group] = set()
    first: list[Job] = []
    rest: list[Job] = []
    for job in sorted(jobs, key=lambda job: -job.expected):
        new = not clock.measured(job) and group(job) not in known
        (first if new else rest).append(job)
        known.add(group(job))
    return first + rest


def _next(ahead: list[Job], clock: Clock, shared: Shared | None) -> Job | None:
    """Takes the first that nobody is at off `ahead`, with those before it that others finished."""
    for job in tuple(ahead):
        if shared is not None and not shared.claim(job):
            continue
        ahead.remove(job)
        seconds = None if shared is None else shared.found(job)
        if seconds is None:
            return job
        clock.finish(job, seconds)
    return None


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
