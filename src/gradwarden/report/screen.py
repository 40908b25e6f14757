"""Parts of a terminal's text.

Every text of a record enters as `Text`, never as markup, and without control characters, so that a
name cannot colour the screen, move the cursor or set a window's title.
"""

from __future__ import annotations

import unicodedata

from rich import box
from rich.console import RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text


def ruled(title: str) -> RichTable:
    return RichTable(title=safe(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD)


def item(text: str | Text, claims: str = "") -> RenderableType:
    """One line of a list, under the line before it."""
    line = safe(text) if isinstance(text, str) else text
    if claims:
        line.append("  ").append_text(safe(f"[{claims}]", "dim"))
    return Padding(line, (0, 0, 0, 2), expand=False)


def heading(text: str) -> Text:
    return safe(text, "bold")


def safe(text: str, style: str = "") -> Text:
    """`text` without control characters, never read as markup."""
    kept = (
        c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs") else "\ufffd" for c in text
    )
    return Text("".join(kept), style=style)
