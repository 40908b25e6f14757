"""Parts of a Markdown text: escapes, links, fences and lines of a table."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence

from gradwarden.report.anchors import Anchors

# What CommonMark, GitHub's tables and mathematics, and Python-Markdown read as more than a letter;
# as entities where a backslash is not understood everywhere.
MARKS = {c: f"\\{c}" for c in "\\`*_[]|#"} | {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "$": "&#36;",
    "~": "&#126;",
}
ESCAPES = str.maketrans(MARKS)
BLANKS = "\t\n\r\v\f\x85\u2028\u2029"
STARTS = re.compile(r"^(\d*)([-+.)])(?=[-+\s]|$)")  # what would begin a list or be a rule
SPACES = re.compile(" +")
TICKS = re.compile("`+")


def text(words: str) -> str:
    """`words` on one line, read as they stand wherever they are put."""
    line = SPACES.sub(" ", _printable(words)).strip(" ")
    return STARTS.sub(r"\1\\\2", line.translate(ESCAPES))


def link(words: str, place: str) -> str:
    """A link to `place`; the words alone where there is none."""
    return f"[{text(words)}](#{place})" if place else text(words)


def cells(row: Sequence[str]) -> str:
    """One line of a table."""
    return f"| {' | '.join(row)} |"


def fenced(command: str) -> str:
    """A command as it stands, in a fence longer than any in it."""
    fence = "`" * max(3, *(len(ticks) + 1 for ticks in TICKS.findall(command)), 0)
    lines = "\n".join(_printable(line) for line in command.split("\n"))
    return f"{fence}sh\n{lines}\n{fence}"


def anchors(ids: Iterable[str]) -> dict[str, str]:
    """Places of the claims, named as on the HTML page."""
    made = Anchors()
    places: dict[str, str] = {}
    for id in ids:
        places.setdefault(id, made.new("claim", id))
    return places


def _printable(words: str) -> str:
    """Line ends and tabs as spaces; other control characters and lone surrogates are no text."""
    return "".join(" " if c in BLANKS else "\ufffd" if _hidden(c) else c for c in words)


def _hidden(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs")
