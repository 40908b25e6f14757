"""Answers and the matrix of them, as every form of the report shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradwarden.core.comparison import Answer, Cell, Comparison, Line

# The word stands beside its symbol, so no colour is needed to tell answers apart.
SYMBOLS = {"supported": "✓", "refuted": "✗", "open": "○"}
NOT_RUN = "·"


@dataclass(frozen=True, kw_only=True)
class Head:
    """A column of the matrix; `claim` and `about` are "" where the page has no such claim."""

    id: str
    claim: str
    about: str


@dataclass(frozen=True, kw_only=True)
class Square:
    """A cell of the matrix; `reason` is the number of what says why it was not run, 0 for none."""

    cell: Cell
    reason: int


@dataclass(frozen=True, kw_only=True)
class GridLine:
    line: Line
    squares: tuple[Square, ...]  # one a head


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The matrix with every line complete, and what it says of cells that were not run once each."""

    heads: tuple[Head, ...]
    lines: tuple[GridLine, ...]
    reasons: tuple[str, ...]  # the first has number 1


def symbol(answer: str) -> str:
    return SYMBOLS.get(answer, NOT_RUN)


def flat(answers: Iterable[Answer]) -> Iterator[Answer]:
    """Answers and their parts, in the order of the page."""
    for answer in answers:
        yield answer
        yield from flat(answer.parts)


def grid(record: Comparison) -> Grid | None:
    """The matrix of `record`; None where it has none."""
    if record.matrix is None:
        return None
    known = {a.id: a for a in flat(record.answers)}
    numbers: dict[str, int] = {}
    return Grid(
        heads=tuple(_head(id, known.get(id)) for id in record.matrix.claims),
        lines=tuple(
            GridLine(line=line, squares=_squares(line, record.matrix.claims, numbers))
            for line in record.matrix.lines
        ),
        reasons=tuple(numbers),
    )


def _head(id: str, answer: Answer | None) -> Head:
    if answer is None:
        return Head(id=id, claim="", about="")
    return Head(id=id, claim=answer.claim, about=answer.about)


def _squares(line: Line, claims: Iterable[str], numbers: dict[str, int]) -> tuple[Square, ...]:
    found = {cell.claim: cell for cell in line.cells}
    squares = []
    for id in claims:
        cell = found.get(id, Cell(claim=id, answer=""))
        reason = 0
        if cell.answer and cell.answer not in SYMBOLS and cell.says:
            reason = numbers.setdefault(cell.says, len(numbers) + 1)
        squares.append(Square(cell=cell, reason=reason))
    return tuple(squares)
