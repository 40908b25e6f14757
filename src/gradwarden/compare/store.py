"""Finished runs on disk: one file each, written whole or not at all.

A file is named by the hash of the run's configuration and that of the gradwarden source files that
the run could reach, so a changed setting or a changed line of its code is another run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gradwarden.compare.job import Job, fingerprint, settings
from gradwarden.core.comparison import Run
from gradwarden.core.errors import BadInput, StoreError
from gradwarden.core.files import write_atomically
from gradwarden.core.provenance import combined, sources
from gradwarden.core.records import from_json, to_json


class Plan(NamedTuple):
    """What is stored already, what is missing, and why a stored run does not count any more."""

    done: dict[Job, Run]
    missing: list[Job]
    invalidated: int  # of the missing ones: stored, but by other code
    changed: tuple[str, ...]  # the files of ours that made them invalid


class Store:
    """Runs in the folder `path`; several processes may use one store."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._sources: dict[tuple[str, ...], dict[str, str]] = {}

    def occupied(self) -> bool:
        return self.path.is_dir() and any(self.path.glob("*.json"))

    def clear(self) -> None:
        """Removes the stored runs, and no other file."""
        for file in self.path.glob("*.json"):
            file.unlink(missing_ok=True)

    def plan(self, jobs: Iterable[Job]) -> Plan:
        done: dict[Job, Run] = {}
        missing: list[Job] = []
        stale, changed = 0, set[str]()
        for job in jobs:
            run = self._read(self._file(job))
            if run is not None:
                done[job] = run
                continue
            missing.append(job)
            files = self._changed_since(job)
            stale += bool(files)
            changed |= files
        return Plan(done, missing, stale, tuple(sorted(changed)))

    def write(self, job: Job, seconds: float, result: dict[str, object]) -> Run:
        """Raises StoreError where the disk is full or the folder cannot be written."""
        run = Run(
            task=job.task,
            arm=job.arm,
            seed=job.seed,
            config=settings(job),
            sources=self._sources_of(job),
            seconds=round(seconds, 3),
            result=result,
        )
        write_atomically(self._file(job), to_json(run))
        return run

    def check_writable(self) -> None:
        """Raises StoreError before any work is done in vain."""
        probe = self.path / ".probe"
        write_atomically(probe, "")
        probe.unlink(missing_ok=True)

    def _sources_of(self, job: Job) -> dict[str, str]:
        roots = job.roots()
        if roots not in self._sources:
            self._sources[roots] = sources(roots)
        return self._sources[roots]

    def _file(self, job: Job) -> Path:
        return self.path / f"{fingerprint(settings(job))}.{combined(self._sources_of(job))}.json"

    def _read(self, file: Path) -> Run | None:
        try:
            return from_json(file.read_text(encoding="utf-8"), Run)
        except FileNotFoundError:
            return None
        except (BadInput, UnicodeDecodeError):
            return None  # damaged by something other than us: run it again
        except OSError as why:
            raise StoreError(f"cannot read {file}: {why.strerror or why}") from why

    def _changed_since(self, job: Job) -> set[str]:
        """Files of ours that differ from those of stored runs with the same configuration."""
        now, changed = self._sources_of(job), set()
        for file in self.path.glob(f"{fingerprint(settings(job))}.*.json"):
            if (run := self._read(file)) is not None:
                names = now.keys() | run.sources.keys()
                changed |= {n for n in names if now.get(n) != run.sources.get(n)}
        return changed
