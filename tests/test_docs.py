"""The documentation runs: its Python blocks, its commands, and the worked example of a new rule."""

import contextlib
import io
import os
import re
import runpy
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pytest
import tiny_plan
import torch

from gradwarden.compare import quick

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
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


PROGRAMS = [page for page in PAGES if programs(page) and page not in TUTORIALS]


@pytest.mark.parametrize("page", PROGRAMS, ids=lambda p: p.name)
def test_the_python_of_each_page_runs(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(quick, "jobs", tiny_plan.jobs)  # a comparison in seconds
    with torch.random.fork_rng():
        torch.manual_seed(0)
        exec(compile(programs(page), page.name, "exec"), {"__name__": "__main__"})  # noqa: S102


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", TUTORIALS, ids=lambda p: p.stem)
def test_a_tutorial_runs_as_its_reader_runs_it_and_prints_what_it_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its blocks in their order, in an empty folder; `text` is what the blocks since the last such print."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    found, names, printed = blocks(page), {"__name__": "__main__"}, ""
    assert {"bash", "text"} <= {block.language for block in found}
    with torch.random.fork_rng():
        for block in found:
            if block.language == "text":
                assert unlike(block.code, printed) == ""
                printed = ""
            elif title := re.fullmatch(r'title="([^"]+)"', block.extra):
                Path(title[1]).write_text(block.code)
            else:
                printed += ran(block, names)


def ran(block: Block, names: dict[str, Any]) -> str:
    """What the block prints; a shell block's exit code must be 0."""
    if block.language == "python":
        with contextlib.redirect_stdout(io.StringIO()) as out:
            exec(compile(block.code, "tutorial", "exec"), names)  # noqa: S102
        return out.getvalue()
    assert block.language == "bash", block.language
    ended = subprocess.run(
        ["bash", "-euc", block.code], capture_output=True, text=True, timeout=500, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


ABOUT = re.compile(r"~(\d+(?:\.\d+)?)")
NUMBER = r"(\d+(?:\.\d+)?)"


def unlike(shown: str, printed: str) -> str:
    """The first line of `shown` that `printed` lacks after the lines before it, or "".

    `...` stands for anything, `~3.1` for a number from half to double of it. Any run of spaces and
    line breaks is one space, since a terminal's width sets them.
    """
    rest = " ".join(printed.split())
    for line in shown.splitlines():
        expected = [float(number) for number in ABOUT.findall(line)]
        literal = re.escape(ABOUT.sub("~", " ".join(line.split())))
        pattern = literal.replace(re.escape("~"), NUMBER).replace(re.escape("..."), ".*?")
        fits = (
            found
            for found in re.finditer(pattern, rest)
            if all(
                x / 2 <= float(y) <= 2 * x for x, y in zip(expected, found.groups(), strict=True)
            )
        )
        if (found := next(fits, None)) is None:
            return line
        rest = rest[found.end() :]
    return ""


def test_what_a_tutorial_shows_is_compared_with_what_it_prints() -> None:
    printed = "rate 0.5: loss 1.01,\n   63% right\nevents  step 3\nTrue\n"
    assert unlike("rate 0.5: loss ~0.9, ~50% right\n...\nTrue", printed) == ""
    assert unlike("rate ...: loss 1.01\nevents step 3", printed) == ""
    for wrong in ("rate 0.5: loss ~3, ~50% right", "rate 0.5: loss ~1, 60% right", "False"):
        assert unlike(f"{wrong}\n...", printed) == wrong
    assert unlike("True\nevents", printed) == "events"  # not in this order


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


def anchors(page: Path) -> set[str]:
    """Of the page's headings, as mkdocs and GitHub name them, and those that it sets itself."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    heads = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", head.lower()).strip() for head in heads]
    return {re.sub(r"[-\s]+", "-", head) for head in plain} | set(re.findall(r'id="([^"]+)"', text))


def test_links_to_headings_lead_to_one() -> None:
    found = 0
    for page in [*PAGES, CONTRIBUTING]:
        text = FENCE.sub("", page.read_text(encoding="utf-8"))
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", text):
            found += 1
            assert anchor in anchors(page.parent / target if target else page), (page.name, anchor)
    assert found >= 2


def test_the_site_fetches_nothing_from_other_hosts() -> None:
    fetched = runpy.run_path(str(ROOT / "docs" / "offline.py"))["fetched"]
    far = "https://cdn.example/a"
    for tag in (f'<script src="{far}">', f"<img src='{far}'>", f"<link rel=stylesheet href={far}>"):
        assert fetched(f"<p>{tag}</p>") == [far]
    assert fetched('<link rel="preconnect" href="//fonts.example">') == ["//fonts.example"]
    assert fetched(f"<style>@font-face {{ src: url({far}) }}</style>") == [far]
    assert fetched(f'<a href="{far}">a link to follow</a><img src="assets/a.png">') == []
    assert "docs/offline.py" in (ROOT / "mkdocs.yml").read_text()
    assert "font: false" in (ROOT / "mkdocs.yml").read_text()


API = ROOT / "docs" / "api"
ROOMS = {path.parent.name for path in (ROOT / "src/gradwarden").glob("*/__init__.py")}
INNER = {"bounds", "devices", "distances", "draws", "files", "lazy", "pictures", "search"}
INNER |= {"tabular_repair"}


def referred() -> set[str]:
    """Identifiers that the reference asks mkdocstrings for."""
    fill = runpy.run_path(str(ROOT / "docs" / "exports.py"))["on_page_markdown"]
    pages = [fill(page.read_text(encoding="utf-8")) for page in API.glob("*.md")]
    return {name for text in pages for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)}


def test_the_reference_has_every_public_name() -> None:
    asked = referred()
    for package in ["gradwarden", *(f"gradwarden.{room}" for room in ROOMS - {"cli", "core"})]:
        room = import_module(package)
        assert room.__all__
        for name in room.__all__:
            found = getattr(room, name)
            if isinstance(found, ModuleType):  # a room has a page, a module an entry
                assert found.__name__ in asked or (API / f"{name}.md").exists(), found
            else:
                home = found.__module__
                assert {home, f"{home}.{found.__name__}"} & asked, f"{package}.{name}"


def test_the_reference_has_every_module_of_core_that_is_not_for_rooms_alone() -> None:
    folder = ROOT / "src/gradwarden/core"
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    asked = {name.split(".")[2] for name in referred() if name.startswith("gradwarden.core.")}
    assert names >= INNER  # modules of core for our own rooms
    assert names - INNER == asked - {"balls"}


def test_the_picture_of_the_rooms_is_what_the_tests_of_imports_enforce() -> None:
    may = runpy.run_path(str(ROOT / "tests" / "test_rooms.py"))["MAY"]
    picture = (ROOT / "docs" / "architecture.svg").read_text(encoding="utf-8")
    assert set(re.findall(r'data-room="(\w+)"', picture)) == ROOMS
    arrows = re.findall(r'data-from="(\w+)" data-to="(\w+)"', picture)
    for room in ROOMS:
        assert reached(room, arrows) == (may[room] & ROOMS) - {room}, room
    rows = re.findall(r"^\| `(\w+)` \|.*\| ([^|]+) \|$", ARCHITECTURE.read_text(), re.MULTILINE)
    assert {room for room, _ in rows} == ROOMS
    for room, cell in rows:
        if room not in ("core", "cli"):
            assert set(re.findall(r"`(\w+)`", cell)) == may[room], room


def reached(room: str, arrows: list[tuple[str, str]]) -> set[str]:
    """Rooms that arrows lead to from `room`, over any number of them."""
    ahead = {to for start, to in arrows if start == room}
    return ahead.union(*(reached(to, arrows) for to in ahead))


ARCHITECTURE = ROOT / "docs" / "architecture.md"


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
