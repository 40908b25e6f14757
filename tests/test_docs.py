"""The documentation runs: its Python blocks, its commands, and the worked example of a new rule."""

import os
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import tiny_plan
import torch

from gradwarden.compare import quick

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
CONTRIBUTING = ROOT / "CONTRIBUTING.md"
FENCE = re.compile(r"^```(\w+)(?: ([^\n]*))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    language: str
    extra: str  # what follows the language: such a block is no program of its own
    code: str


def blocks(page: Path) -> list[Block]:
    return [Block(*found) for found in FENCE.findall(page.read_text(encoding="utf-8"))]


def programs(page: Path) -> str:
    """The page's Python blocks, one after the other: later ones use names of earlier ones."""
    return "\n".join(b.code for b in blocks(page) if b.language == "python" and not b.extra)


@pytest.mark.parametrize("page", [p for p in PAGES if programs(p)], ids=lambda p: p.name)
def test_the_python_of_each_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quick, "jobs", tiny_plan.jobs)  # a comparison in seconds
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(programs(page), page.name, "exec"), {"__name__": "__main__"})  # noqa: S102


def commands(page: Path) -> list[str]:
    """Lines of shell blocks, and inline code that starts with one of our two commands."""
    text = page.read_text(encoding="utf-8")
    lines = [line for b in blocks(page) if b.language == "bash" for line in b.code.splitlines()]
    return [
        line
        for line in [*lines, *re.findall(r"`([^`]+)`", FENCE.sub("", text))]
        if re.match(r"(gradwarden|make) [a-z-]", line)
    ]


def test_every_command_that_is_named_exists() -> None:
    from gradwarden.cli.main import app

    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = [info.callback.__name__ for info in app.registered_commands if info.callback]
    known = {name.replace("_", "-") for name in named}
    found = [line.split() for page in [*PAGES, CONTRIBUTING] for line in commands(page)]
    assert len(found) >= 10
    for tool, word, *_ in found:
        assert word.startswith("--") or word in (targets if tool == "make" else known), word


def test_links_between_pages_lead_somewhere() -> None:
    for page in [*PAGES, CONTRIBUTING]:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_rows_of_the_benchmarks_are_put_into_the_pages() -> None:
    put = runpy.run_path(str(ROOT / "docs" / "figures.py"))["on_page_markdown"]
    pages = [page.read_text(encoding="utf-8") for page in PAGES]
    asking = [text for text in pages if "{{ rows " in text]
    assert len(asking) >= 5
    for text in asking:
        assert "{{ rows" not in put(text)
    head, dashes, row = put("{{ rows clip_faults: Adaptive }}").splitlines()
    assert head.count("|") == dashes.count("|") == row.count("|")
    assert row in (ROOT / "benchmarks/results/clip_faults.md").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="no row for NoSuch"):
        put("{{ rows clip_faults: Adaptive, NoSuch }}")


def test_one_file_one_export_one_row_is_all_that_a_rule_needs(tmp_path: Path) -> None:
    """The worked example of CONTRIBUTING.md, put into a copy of the tree, passes every suite."""
    parts = {b.extra: b.code for b in blocks(CONTRIBUTING) if b.extra}
    file, export, row = (f'title="{name}"' for name in PLACES)
    skip = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=skip)
    shutil.copytree(ROOT / "tests" / "conformance", tmp_path / "tests" / "conformance", ignore=skip)
    for name in ("pyproject.toml", "tests/test_rooms.py", "tests/test_exports.py"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / PLACES[0]).write_text(parts[file])
    after(tmp_path / PLACES[1], "if TYPE_CHECKING:\n", parts[export])
    imports, rows = parts[row].split("\n", 1)
    after(tmp_path / PLACES[2], "import torch\n", f"{imports}\n")
    after(tmp_path / PLACES[2], "RULES: list[Rule[Any]] = [\n", rows)
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", CHECKS, "tests"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout
    assert int(re.findall(r"(\d+) passed", ended.stdout)[0]) >= 20, ended.stdout


PLACES = (
    "src/gradwarden/clip/rules/annealed.py",
    "src/gradwarden/clip/__init__.py",
    "tests/conformance/test_rules.py",
)
CHECKS = "Annealed or annealed or (test_exports and clip)"


def after(path: Path, line: str, added: str) -> None:
    text = path.read_text()
    assert text.count(line) == 1, (path, line)
    path.write_text(text.replace(line, line + added))
