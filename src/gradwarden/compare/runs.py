"""Finished runs of jobs: from the store where it has them, else run now and stored."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gradwarden.compare.executor import OnProgress, execute
from gradwarden.compare.job import Job, fingerprint, settings
from gradwarden.compare.store import Plan, Store
from gradwarden.core.comparison import Run
from gradwarden.core.errors import StoreError

NAMED = 3  # files that a sentence names before it counts the rest
OnNote = Callable[[str], None]


class Runs:
    """`on_note` gets one sentence for what a user should know (what was reused or not)."""

    def __init__(
        self, place: Store, on_progress: OnProgress | None, on_note: OnNote | None
    ) -> None:
        self._place, self._on_progress = place, on_progress
        self.note: OnNote = on_note or (lambda _: None)
        self._began = time.monotonic()
        self._finished: dict[str, Run] = {}  # by what determines the run
        self.reused = 0

    @property
    def elapsed(self) -> float:
        """Seconds on the clock since the beginning."""
        return time.monotonic() - self._began

    def of(self, jobs: Sequence[Job]) -> tuple[Run, ...]:
        """One for each job, in their order. Raises StoreError, RunFailed and what a run raises."""
        keys = [fingerprint(settings(job)) for job in jobs]
        pairs = zip(keys, jobs, strict=True)
        plan = self._place.plan(job for key, job in pairs if key not in self._finished)
        for sentence in _reused(plan):
            self.note(sentence)
        for job, run in plan.done.items():
            self._finished[fingerprint(settings(job))] = run
        self.reused += len(plan.done)
        execute(plan.missing, self._keep, self._on_progress)
        return tuple(self._finished[key] for key in keys)

    def _keep(self, job: Job, seconds: float, result: dict[str, Any]) -> None:
        self._finished[fingerprint(settings(job))] = self._place.write(job, seconds, result)


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
