"""Finished runs on disk: one file each, written whole or not at all.

A file is named by the hash of the run's configuration and that of the gradwarden source files that
the run could reach, so a changed setting or a changed line of its code is another run.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from gradwarden.compare.job import Job, fingerprint, settings
from gradwarden.compare.locks import Locks
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
        self._sources: dict[tuple[str, ...], tuple[dict[str, str], str]] = {}
        self._locks = Locks(path)

    def occupied(self) -> bool:
        return self.path.is_dir() and any(self.path.glob("*.json"))

    def clear(self) -> None:
        """Removes the stored runs and what locks them, and no other file."""
        for file in (*self.path.glob("*.json"), *self.path.glob(".*.lock")):
            file.unlink(missing_ok=True)

    def plan(self, jobs: Iterable[Job]) -> Plan:
        done: dict[Job, Run] = {}
        missing: list[Job] = []
        for job in jobs:
            run = self.read(job)
            if run is None:
                missing.append(job)
            else:
                done[job] = run
        stale, changed = self._changed_since(missing) if missing else (0, set())
        return Plan(done, missing, stale, tuple(sorted(changed)))

    def read(self, job: Job) -> Run | None:
        """The finished run; None where there is none that counts."""
        return self._read(self._file(job))

    def has(self, job: Job) -> bool:
        """Whether a file for it is there; only `read` says that it is whole."""
        return self._file(job).is_file()

    def claim(self, job: Job) -> bool:
        """Whether this process may run `job`: no other one is at it. It is this one's until `drop`.

        Another may have finished it meanwhile: `read` says so.
        """
        return self._locks.take(self._file(job).stem)

    def drop(self, job: Job) -> None:
        self._locks.drop(self._file(job).stem)

    def drop_all(self) -> None:
        self._locks.drop_all()

    def write(self, job: Job, seconds: float, result: dict[str, object]) -> Run:
        """Raises StoreError where the disk is full or the folder cannot be written."""
        run = Run(
            task=job.task,
            arm=job.arm,
            seed=job.seed,
            config=settings(job),
            sources=self._sources_of(job)[0],
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

    def _sources_of(self, job: Job) -> tuple[dict[str, str], str]:
        """The hashes of the job's source files, and one of them all."""
        roots = job.roots()
        if roots not in self._sources:
            found = sources(roots)
            self._sources[roots] = found, combined(found)
        return self._sources[roots]

    def _file(self, job: Job) -> Path:
        return self.path / f"{fingerprint(settings(job))}.{self._sources_of(job)[1]}.json"

    def _read(self, file: Path) -> Run | None:
        try:
            return from_json(file.read_text(encoding="utf-8"), Run)
        except FileNotFoundError:
            return None
        except (BadInput, UnicodeDecodeError):
            return None  # damaged by something other than us: run it again
        except OSError as why:
            raise StoreError(f"cannot read {file}: {why.strerror or why}") from why

    def _changed_since(self, jobs: Iterable[Job]) -> tuple[int, set[str]]:
        """How many of `jobs` are stored, but by other code, and the files of ours that differ."""
        others: dict[str, list[Path]] = {}  # by configuration
        for file in self.path.glob("*.json"):
            others.setdefault(file.name.partition(".")[0], []).append(file)
        stale, changed = 0, set[str]()
        for job in jobs if others else ():
            now = self._sources_of(job)[0].items()
            files = others.get(fingerprint(settings(job)), ())
            runs = [run for file in files if (run := self._read(file)) is not None]
            differ = {name for run in runs for name, _ in now ^ run.sources.items()}
            stale += bool(differ)
            changed |= differ
        return stale, changed
