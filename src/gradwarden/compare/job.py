"""What the executor and the store ask of a run."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Protocol

from gradwarden.core.provenance import environment
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
    packages = environment(("torch", "numpy"))
    versions = {name: packages[name] for name in ("torch", "numpy")}
    whole: dict[str, Any] = plain(
        job.config() | {"kind": type(job).__name__, "seed": job.seed} | versions
    )
    return whole


def fingerprint(config: dict[str, Any]) -> str:
    """A short hash of a configuration, independent of the order of its keys."""
    text = json.dumps(config, sort_keys=True, allow_nan=False)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
