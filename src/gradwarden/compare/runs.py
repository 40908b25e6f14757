"""Finished runs of jobs: from the store where it has them, else run now and stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gradwarden.compare.clock import Ahead, Clock, OnProgress
from gradwarden.compare.executor import WORKERS, execute
from gradwarden.compare.job import Job, fingerprint, settings
from gradwarden.compare.store import Plan, Store
from gradwarden.core.comparison import Run
from gradwarden.core.errors import StoreError

NAMED = 3  # files that a sentence names before it counts the rest
OnNote = Callable[[str], None]


class Runs:
    """`on_note` gets one sentence for what a user should know (what was reused or not).

    `deadline`, by `time.monotonic`, is when a budget is spent: more time is never said to be left.
    """

    def __init__(
        self,
        place: Store,
        on_progress: OnProgress | None,
        on_note: OnNote | None,
        deadline: float | None = None,
    ) -> None:
        self._place, self._on_progress = place, on_progress
        self.note: OnNote = on_note or (lambda _: None)
        self._began = time.monotonic()
        self._clock = Clock(WORKERS, deadline)
        self._finished: dict[str, Run] = {}  # by what determines the run
        self.reused = 0

    @property
    def elapsed(self) -> float:
        """Seconds on the clock since the beginning."""
        return time.monotonic() - self._began

    def of(self, jobs: Sequence[Job], ahead: Sequence[Ahead] = ()) -> tuple[Run, ...]:
        """One for each job, in their order; `ahead` is all that will follow them, for the progress.

        Another process may use the same store: what it is at is waited for, not run again. Raises
        StoreError, RunFailed and what a run raises.
        """
        keys = [_key(job) for job in jobs]
        new = {k: job for k, job in zip(keys, jobs, strict=True) if k not in self._finished}
        plan = self._place.plan(new.values())
        for sentence in _reused(plan):
            self.note(sentence)
        self._clock.expect(new.values(), ahead)
        for job, run in plan.done.items():
            self._finished[_key(job)] = run
            self._clock.finish(job, run.seconds)
        self.reused += len(plan.done)
        try:
            execute(plan.missing, self._keep, self._on_progress, self._clock, self)
        finally:
            self._place.drop_all()
        return tuple(self._finished[key] for key in keys)

    def stored(self, job: Job) -> bool:
        """Whether it would cost nothing."""
        return self._place.has(job)

    def forget_costs(self) -> None:
        """Before runs that are expected by what the ones so far did cost."""
        self._clock.forget()

    def claim(self, job: Job) -> bool:
        return self._place.claim(job)

    def found(self, job: Job) -> float | None:
        run = self._place.read(job)
        if run is None:
            return None
        self._place.drop(job)
        self._finished[_key(job)] = run
        self.reused += 1
        return run.seconds

    def _keep(self, job: Job, seconds: float, result: dict[str, Any]) -> None:
        self._finished[_key(job)] = self._place.write(job, seconds, result)
        self._place.drop(job)


def _key(job: Job) -> str:
    return fingerprint(settings(job))


def opened(place: Store, *, resume: bool, force: bool) -> Store:
    """`place`, where it may be used. Raises StoreError where it holds runs and nobody says what of."""
    if place.occupied() and not (resume or force):
        raise StoreError(
            f"{place.path} holds another comparison's runs: --resume goes on from them, --force "
            "deletes them, --out names another folder"
        )
    place.check_writable()
    if force:
        place.clear()
    return place


def _reused(plan: Plan) -> Iterable[str]:
    if plan.done:
        yield (
            f"{len(plan.done)} finished runs are taken from the store, {len(plan.missing)} are to "
            "be run."
        )
    if plan.invalidated:
        named, more = ", ".join(plan.changed[:NAMED]), len(plan.changed) - NAMED
        yield (
            f"{plan.invalidated} stored runs are run again, since their code has changed: {named}"
            + (f" and {more} more files." if more > 0 else ".")
        )
