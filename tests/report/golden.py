"""The committed record of `golden/` and what it is rendered as; run it to write the files again.

    python tests/report/golden.py

The page is kept without its style sheets and scripts, which stand in `src` as they are.
"""

from __future__ import annotations

import re
from pathlib import Path

from rich.console import Console

from gradwarden.core.comparison import Comparison
from gradwarden.core.records import from_json, to_json
from gradwarden.report import html, markdown, terminal

FOLDER = Path(__file__).parent / "golden"
RECORD = FOLDER / "comparison.json"
WIDTHS = (72, 140)
ASSETS = re.compile(r"<style>.*?</style>|<script>.*?</script>", re.DOTALL)
HASHES = re.compile(r"&#39;sha256-[^&]*&#39;|'sha256-[^']*'")


def record() -> Comparison:
    return from_json(RECORD.read_text(encoding="utf-8"), Comparison)


def forms(shown: Comparison) -> dict[str, str]:
    """File name -> text."""
    return {
        "comparison.html": without_assets(html.render(shown)),
        "comparison.md": markdown.render(shown),
    } | {f"comparison-{width}.txt": on_terminal(shown, width) for width in WIDTHS}


def without_assets(page: str) -> str:
    found = [name for name in ("style", "script") if f"<{name}>" in page]
    assert found == ["style", "script"], found
    return HASHES.sub("'sha256'", ASSETS.sub("", page))


def on_terminal(shown: Comparison, width: int) -> str:
    console = Console(width=width, color_system=None, force_terminal=False, legacy_windows=False)
    with console.capture() as capture:
        console.print(terminal.render(shown))
    return capture.get()


if __name__ == "__main__":
    from made_up_matrix import small

    RECORD.write_text(to_json(small()), encoding="utf-8")
    for name, text in forms(record()).items():
        (FOLDER / name).write_text(text, encoding="utf-8")
