"""The matrix for a terminal: words where they fit, else symbols with a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

from gradwarden.report.answers import SYMBOLS, Grid, GridLine, Square, symbol
from gradwarden.report.screen import item, safe

COLOURS = {"supported": "green", "refuted": "red", "open": "yellow"}
TITLE = "Tasks by claims"
WORDS = (*SYMBOLS, "not run")


def said(answer: str, mark: str = "") -> Text:
    """ "✓ supported"; `mark` comes after it."""
    return safe(f"{symbol(answer)} {answer}{mark}", COLOURS.get(answer, "dim"))


@dataclass(frozen=True)
class Fitting:
    """A grid that renders by the width it is given."""

    grid: Grid

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        full = _table(self.grid, words=True)
        fits = Measurement.get(console, options.update(max_width=10_000), full).minimum
        if fits <= options.max_width:
            yield full
        else:
            yield _table(self.grid, words=False)
            key = Text("  ").join(said(word) for word in WORDS)
            yield item(key)
        for number, reason in enumerate(self.grid.reasons, 1):
            yield item(f"{number}: {reason}")


def _table(grid: Grid, *, words: bool) -> RichTable:
    table = RichTable(
        title=safe(TITLE, "bold"),
        title_justify="left",
        box=box.SIMPLE_HEAD if words else None,
        padding=(0, 1) if words else (0, 1, 0, 0),
        pad_edge=words,
    )
    longest = max((cell_len(line.line.task) for line in grid.lines), default=0)
    table.add_column("Task", overflow="fold", min_width=min(longest, 24) if words else None)
    for i, head in enumerate(grid.heads):
        wide = max((_name(line.squares[i]).cell_len for line in grid.lines), default=0)
        table.add_column(safe(head.id), overflow="fold", min_width=wide if words else None)
    for line in grid.lines:
        squares = (_word(s) if words else _mark(s) for s in line.squares)
        table.add_row(_task(line, words), *squares)
    return table


def _task(line: GridLine, words: bool) -> Text:
    name = safe(line.line.task, "bold")
    if words and line.line.field:
        name.append("\n").append_text(safe(line.line.field, "dim"))
    return name


def _name(square: Square) -> Text:
    """ "· not run 2": the answer and the number of its reason."""
    number = f" {square.reason}" if square.reason else ""
    return said(square.cell.answer, number) if square.cell.answer else Text("")


def _word(square: Square) -> Text:
    word = _name(square)
    if square.cell.text:
        word.append("\n").append_text(safe(square.cell.text.replace(" [", "\n["), "dim"))
    return word


def _mark(square: Square) -> Text:
    answer = square.cell.answer
    if not answer:
        return Text("")
    return safe(f"{symbol(answer)}{square.reason or ''}", COLOURS.get(answer, "dim"))
