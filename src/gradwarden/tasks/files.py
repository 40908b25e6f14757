"""Data that a user brings as a file: by its path, or in the folder that GRADWARDEN_DATA names."""

from __future__ import annotations

import hashlib
import os
from functools import cache
from pathlib import Path

from gradwarden.core.errors import MissingData


def find(path: str, *names: str, source: str) -> Path:
    """`path`, or where it is empty the first of `names` that is there. Raises MissingData."""
    if path:
        places = [Path(path)]
    else:
        folder = os.environ.get("GRADWARDEN_DATA", "")
        places = [Path(folder) / name for name in names] if folder else []
    for place in places:
        if place.exists():
            return place.resolve()
    raise MissingData(path or " or ".join(names), source)


def digest(place: Path) -> str:
    """A short hash of the content, part of a run's configuration: other data are another run.

    Of a folder, the hash of the names and sizes of its files.
    """
    return _listed(place) if place.is_dir() else _digest(place, place.stat().st_mtime_ns)


@cache
def _listed(folder: Path) -> str:
    files = [(os.path.relpath(at, folder), names) for at, _, names in os.walk(folder)]
    sizes = {os.path.join(at, n): (folder / at / n).stat().st_size for at, ns in files for n in ns}
    return hashlib.blake2b(repr(sorted(sizes.items())).encode(), digest_size=8).hexdigest()


@cache
def _digest(file: Path, _changed: int) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, lambda: hashlib.blake2b(digest_size=8)).hexdigest()
