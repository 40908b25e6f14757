"""What the executor and the store ask of a run."""

from __future__ import annotations

import hashlib
import inspect
import json
from functools import cache
from typing import Any, Protocol

from gradwarden.core.provenance import NAME, environment
from gradwarden.core.records import plain


class Job(Protocol):
    """One run: a frozen dataclass that can be sent to another process."""

    @property
    def task(self) -> str:
        """Name of the task, for example "lstm-text"."""
        ...

    @property
    def arm(self) -> str:
        """Which treatment, for example "SGD 8, MaxNorm(max_norm=0.25)"."""
        ...

    @property
    def seed(self) -> int: ...

    @property
    def expected(self) -> float:
        """Seconds on one core, roughly; only the ratios between jobs matter."""
        ...

    def config(self) -> dict[str, Any]:
        """All that determines the result, as plain values."""
        ...

    def roots(self) -> tuple[str, ...]:
        """Dotted names of our modules from which the code of the run is reached by import."""
        ...

    def run(self) -> dict[str, Any]:
        """The result as plain values."""
        ...


def settings(job: Job) -> dict[str, Any]:
    """The job's configuration with what it shares with every other: seed and package versions."""
    own = {"kind": type(job).__name__, "seed": job.seed}
    whole: dict[str, Any] = plain(job.config() | own | _versions())
    return whole


@cache
def _versions() -> dict[str, str]:
    found = environment(("torch", "numpy"))
    return {name: found[name] for name in ("torch", "numpy")}


def written_in(task: object) -> dict[str, str]:
    """Hash of the file that a user's task is written in; nothing for a task of ours.

    Our own files are hashed one by one, with all that they import.
    """
    kind = type(task)
    if kind.__module__.partition(".")[0] == NAME:
        return {}
    text = inspect.getsource(inspect.getmodule(kind) or kind)
    return {"written in": hashlib.blake2b(text.encode(), digest_size=8).hexdigest()}


def fingerprint(config: dict[str, Any]) -> str:
    """A short hash of a configuration, independent of the order of its keys."""
    text = json.dumps(config, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
