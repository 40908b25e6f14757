"""Data that come inside an installed package: found without importing it."""

from __future__ import annotations

from functools import cache
from importlib import metadata, util
from pathlib import Path

from gradwarden.core.errors import MissingExtra


def folder(package: str) -> Path:
    """Where `package` is installed. Raises MissingExtra with the install command."""
    spec = util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    if not places:
        raise MissingExtra(package, "tasks")
    return Path(next(iter(places)))


@cache
def version(package: str, *, module: str = "") -> str:
    """Installed version, part of a run's configuration: other data are another run.

    `module` is what is imported, where it is not called like the package. Raises MissingExtra.
    """
    try:
        folder(module or package)
        return metadata.version(package)
    except ImportError:
        raise MissingExtra(package, "tasks") from None
