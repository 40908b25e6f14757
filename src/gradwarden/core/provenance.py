"""Where a record came from: package version, source files, environment.

The source hash of a run covers the files that its code can reach by import, and no others, so that
a change to the report does not throw away training runs.
"""

from __future__ import annotations

import ast
import hashlib
import os
import platform
from collections.abc import Iterable, Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).parent.parent
NAME = ROOT.name


def environment(packages: Iterable[str] = ("torch", "numpy", "scipy")) -> dict[str, str]:
    """What the figures may depend on, as text; reading it imports none of the packages."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    found |= {"processor": _processor(), "cores": str(os.cpu_count())}
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def sources(modules: Iterable[str]) -> dict[str, str]:
    """Hash of each of our files that `modules` (dotted names) can reach by import, by path."""
    reached: set[str] = set()
    ahead = list(modules)
    while ahead:
        name = ahead.pop()
        if name in reached or _file(name) is None:
            continue
        reached.add(name)
        ahead += _imports(name)
    files = {path for name in reached if (path := _file(name)) is not None}
    return {str(path.relative_to(ROOT)): _digest(path) for path in sorted(files)}


def combined(hashes: dict[str, str]) -> str:
    """One hash of `sources`."""
    return hashlib.blake2b(repr(sorted(hashes.items())).encode(), digest_size=8).hexdigest()


def _file(module: str) -> Path | None:
    package, *parts = module.split(".")
    if package != NAME:
        return None
    path = ROOT.joinpath(*parts)
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file() and candidate != ROOT / "__init__.py":
            return candidate
    return None


@cache
def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()


@cache
def _imports(module: str) -> tuple[str, ...]:
    path = _file(module)
    return tuple(_imported(path.read_text(encoding="utf-8"))) if path else ()


def _imported(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
