"""Puts rows of benchmarks/results into the pages, so that no figure is written down twice."""

from collections.abc import Iterator
from pathlib import Path

RESULTS = Path(__file__).parent.parent / "benchmarks" / "results"


def on_page_markdown(markdown: str, **_: object) -> str:
    """`{{ rows clip_faults: Adaptive, ZScore }}` on a line of its own becomes these rows."""
    return "\n".join(
        "\n".join(rows(*line.strip("{} ").removeprefix("rows ").split(":", 1)))
        if line.startswith("{{ rows ")
        else line
        for line in markdown.splitlines()
    )


def rows(file: str, names: str) -> Iterator[str]:
    """Each table of `file`, under its own heading, with the rows that start with one of `names`.

    Raises ValueError for a name without a row: the benchmark no longer has it.
    """
    wanted = [name.strip() for name in names.split(",")]
    found: set[str] = set()
    lines = (RESULTS / f"{file}.md").read_text(encoding="utf-8").splitlines()
    for i, line in enumerate(lines):
        if line.startswith("## "):
            yield from ("", f"**{line.removeprefix('## ')}**", "")
        elif line.startswith("|---"):
            yield from (lines[i - 1], line)
        elif line.startswith("| ") and not lines[i + 1].startswith("|---"):
            first = line.split("|")[1].strip(" `*")
            known = [name for name in wanted if first == name or first.startswith(f"{name}(")]
            found.update(known)
            if known:
                yield line
    if missing := [name for name in wanted if name not in found]:
        raise ValueError(f"benchmarks/results/{file}.md has no row for {', '.join(missing)}")
