"""Each room imports only the rooms listed for it, in every form an import can take."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SRC = Path(__file__).parent.parent / "src"
MAY: dict[str, set[str]] = {room: {"core"} for room in ("clip", "attack", "tasks", "report")}
MAY |= {room: {"core", "attack"} for room in ("mask", "harden", "audit")}
MAY |= {"core": set(), "integrations": {"core", "clip"}}
MAY["zoo"] = {"core", "tasks", "mask", "harden", "attack"}
MAY["compare"] = {"core", "clip", "mask", "harden", "attack", "audit", "tasks"}
MAY["cli"] = MAY.keys() - {"integrations"}
ROOT = ("gradwarden", "__init__")
VERSION = ["gradwarden", "__version__"]  # the one name that any room may take from the top


def imported(source: str, path: list[str]) -> Iterator[list[str]]:
    """Absolute dotted name, in parts, of all that the module at `path` imports, at any depth."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = path[: -node.level] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            yield from ([*base, alias.name] for alias in node.names)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
            ("import_module", "__import__")
        ):
            name = node.args[0] if node.args else None
            if isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield (["gradwarden"] * name.value.startswith(".") + name.value.split("."))


def violations(source: str, module: str) -> list[str]:
    path = module.split(".")
    if path[1] not in MAY:
        return [f"unknown room {path[1]}"]
    allowed = MAY[path[1]] | {path[1]}
    ours = [name for name in imported(source, path) if name[0] == "gradwarden"]
    return [
        ".".join(name) for name in ours if name != VERSION and not allowed.intersection(name[1:2])
    ]


@pytest.mark.parametrize("file", sorted(SRC.glob("gradwarden/**/*.py")), ids=str)
def test_rooms_import_only_what_they_may(file: Path) -> None:
    path = file.relative_to(SRC).with_suffix("").parts
    if path != ROOT:
        assert not violations(file.read_text(), ".".join(path))


FORMS = [
    "import os, gradwarden.attack.pgd as p",
    "from gradwarden import attack",
    "from gradwarden.attack.pgd import PGD",
    "from ... import attack",
    "def f():\n    from ...attack.pgd import PGD",
    "if TYPE_CHECKING:\n    from gradwarden.attack.pgd import PGD",
    "import gradwarden",
    "from gradwarden import PGD",
    "from gradwarden import *",
    "importlib.import_module('gradwarden.attack.pgd')",
    "__import__('gradwarden.attack')",
]


@pytest.mark.parametrize("source", FORMS)
def test_a_planted_violation_is_caught(source: str) -> None:
    assert violations(source, "gradwarden.clip.rules.max_norm")


def test_an_unknown_room_is_caught() -> None:
    assert violations("", "gradwarden.nosuch.file") == ["unknown room nosuch"]


def test_the_version_may_be_read_by_any_room() -> None:
    assert not violations("from gradwarden import __version__", "gradwarden.core.provenance")
