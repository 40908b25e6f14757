"""The page's table comes from the stored answers."""

import runpy
from pathlib import Path

import pytest

from gradwarden import zoo

DOCS = Path(__file__).parent.parent.parent / "docs"


def test_every_entry_has_its_row_in_the_page() -> None:
    put = runpy.run_path(str(DOCS / "zoo.py"))["on_page_markdown"]
    text = put((DOCS / "zoo.md").read_text(encoding="utf-8"))
    assert "{{" not in text
    for name in zoo.names():
        known = zoo.answers(name)
        (row,) = [line for line in text.splitlines() if line.startswith(f"| {name} |")]
        assert (
            f"| {known.clean.value:.1%} | {known.naive.value:.1%} | {known.best.value:.1%}" in row
        )
        assert row.endswith("| yes |" if known.masked else "| no |")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.count("|") for line in lines}) == 1
    with pytest.raises(ValueError, match="no half 'left'"):
        put("{{ zoo left }}")
