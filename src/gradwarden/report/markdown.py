"""A comparison as Markdown, for a repository, an issue or a wiki: CommonMark and GitHub's tables.

Every text of a record is escaped, so that it is read as it stands.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gradwarden.core.comparison import Answer, Comparison, Contender, Point
from gradwarden.core.display import Table
from gradwarden.core.errors import BadInput
from gradwarden.report import numbers
from gradwarden.report.answers import Grid, GridLine, Square, flat, grid, symbol
from gradwarden.report.marks import anchors, cells, fenced, link, text

POINT_LISTS = (("Pros", "pros"), ("Cons", "cons"), ("Use it if", "use_if"))


def render(record: object) -> str:
    """The Markdown of a Comparison. Raises BadInput for other records."""
    if not isinstance(record, Comparison):
        raise BadInput(
            f"there is no Markdown for {type(record).__name__}, expected a Comparison: write it as "
            ".html or .json"
        )
    places = anchors(a.id for a in flat(record.answers))
    blocks = (
        f"# {text(record.title)}",
        _points(record.summary, places),
        *_matrix(grid(record), places),
        *(block for contender in record.contenders for block in _contender(contender, places)),
        "## Bottom line",
        _points(record.bottom_line, places),
        "## The claims",
        *(block for answer in record.answers for block in _answer(answer, 3, record, places)),
        *_tables(record),
        *_notes(record),
        *_origin(record),
    )
    return "\n\n".join(block for block in blocks if block) + "\n"


def _points(points: Iterable[Point], places: dict[str, str]) -> str:
    return "\n".join(f"- {text(p.text)}{_refs(p, places)}" for p in points)


def _refs(point: Point, places: dict[str, str]) -> str:
    links = ", ".join(link(id, places.get(id, "")) for id in point.claims)
    return f" ({links})" if links else ""


def _matrix(found: Grid | None, places: dict[str, str]) -> Iterator[str]:
    if found is None:
        return
    yield "## Task by task"
    heads = [link(head.id, places.get(head.id, "")) for head in found.heads]
    rule = ["---"] * (len(heads) + 1)
    lines = [_line(line, places) for line in found.lines]
    yield "\n".join(map(cells, [["Task", *heads], rule, *lines]))
    yield "Brackets hold 95 % intervals; a cell is empty where the claim is not about the task."
    if found.reasons:
        yield "Why some were not run:"
    yield "\n".join(f"{i}. {text(reason)}" for i, reason in enumerate(found.reasons, 1))


def _line(line: GridLine, places: dict[str, str]) -> list[str]:
    field = f"<br>{text(line.line.field)}" if line.line.field else ""
    squares = (_square(square, places) for square in line.squares)
    return [f"**{text(line.line.task)}**{field}", *squares]


def _square(square: Square, places: dict[str, str]) -> str:
    cell = square.cell
    if not cell.answer:
        return ""
    word = link(f"{symbol(cell.answer)} {cell.answer}", places.get(cell.evidence, ""))
    number = f" ({square.reason})" if square.reason else ""
    return f"{word}{number}{'<br>' + text(cell.text) if cell.text else ''}"


def _contender(contender: Contender, places: dict[str, str]) -> Iterator[str]:
    yield f"## {text(contender.name)}"
    yield text(contender.what)
    for name, field in POINT_LISTS:
        yield f"**{name}**"
        yield _points(getattr(contender, field), places) or "- None that the runs speak for."


def _answer(
    answer: Answer, level: int, record: Comparison, places: dict[str, str], shown: str = ""
) -> Iterator[str]:
    """`shown` is the command that stands above for the whole claim."""
    yield f'<a id="{places[answer.id]}"></a>'
    yield f"{'#' * min(level, 6)} {text(answer.id)}: {text(answer.claim)}"
    yield _verdict(answer)
    yield text(answer.says)
    if answer.how:
        yield f"How it was measured: {text(answer.how)}"
    if answer.table:
        yield from _table(answer.table)
    titles = {runs.id: runs.table.title for runs in record.evidence}
    if answer.runs:
        yield "Rests on: " + ", ".join(text(titles.get(id, id)) for id in answer.runs) + "."
    if answer.command and answer.command != shown:
        yield f"Reproduce {text(answer.id)}:"
        yield fenced(answer.command)
    for part in answer.parts:
        yield from _answer(part, level + 1, record, places, answer.command or shown)


def _verdict(answer: Answer) -> str:
    said = f"**{symbol(answer.answer)} {text(answer.answer)}**"
    if answer.effect:
        effect = numbers.effect(answer.effect, answer.unit)
        said += f", effect {text(effect)}, {text(numbers.interval(answer.effect, answer.unit))}"
        factor = numbers.factor(answer.effect, answer.unit)
        said += f", {text(factor)}" if factor else ""
    if not answer.counts:
        said += ", but it does not count without the claims that it depends on"
    return f"{said}."


def _tables(record: Comparison) -> Iterator[str]:
    if record.tables:
        yield "## More tables"
    for table in record.tables:
        yield from _table(table)
    yield "## Where the seconds went"
    yield from _table(record.seconds)


def _table(table: Table) -> Iterator[str]:
    yield f"**{text(table.title)}**"
    numeric = numbers.numeric(table)
    rule = ["---:" if right else "---" for right in numeric]
    rows = []
    for row in table.rows:
        held = [text(cell) for cell in row.cells[: len(table.columns)]]
        rows.append([f"**{cell}**" if row.pick and cell else cell for cell in held])
    yield "\n".join(map(cells, [[text(c) for c in table.columns], rule, *rows]))
    yield text(table.note)


def _notes(record: Comparison) -> Iterator[str]:
    if record.notes:
        yield "## Limits"
        yield "\n".join(f"- {text(note)}" for note in record.notes)


def _origin(record: Comparison) -> Iterator[str]:
    origin = record.origin
    yield "## Where it comes from"
    yield fenced(origin.command)
    facts = {"gradwarden": origin.version} | dict(sorted(origin.environment.items()))
    if origin.seeds:
        facts["seeds"] = ", ".join(map(str, origin.seeds))
    yield "\n".join(f"- {text(key)}: {text(value)}" for key, value in facts.items())
