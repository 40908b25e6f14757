"""The same answers for a terminal, as Rich renderables."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from gradwarden.core.comparison import Answer, Comparison, Point
from gradwarden.core.display import Table
from gradwarden.core.errors import BadInput
from gradwarden.core.examination import Examination
from gradwarden.core.ledger_record import Ledger
from gradwarden.report import audit_terminal, numbers
from gradwarden.report.answers import flat, grid
from gradwarden.report.matrix_terminal import Fitting, said
from gradwarden.report.screen import heading, item, ruled, safe


def render(record: object) -> RenderableType:
    """What `rich.print` shows of a Comparison, an Examination or a Ledger; BadInput for others."""
    if isinstance(record, Comparison):
        return _comparison(record)
    if isinstance(record, Examination):
        return audit_terminal.examination(record)
    if isinstance(record, Ledger):
        return _ledger(record)
    raise BadInput(
        f"nothing to show for {type(record).__name__}, expected a Comparison, an Examination or a "
        "Ledger"
    )


def _comparison(record: Comparison) -> Group:
    found = grid(record)
    matrix: list[RenderableType] = [Fitting(found), ""] if found else []
    return Group(
        heading(record.title),
        *_points(record.summary),
        "",
        *matrix,
        _answers(record.answers if found else flat(record.answers)),
        "",
        heading("Bottom line"),
        *_points(record.bottom_line),
        "",
        _table(record.seconds),
    )


def _ledger(record: Ledger) -> Group:
    return Group(
        safe(record.model, "bold"),
        _columns(record),
        _stages(record),
        *(item(f"{finding.why} {finding.remedy}") for finding in record.findings),
        *(item(note) for note in record.notes),
        safe("An upper bound: a stronger attack may leave less.", "italic"),
    )


def _columns(record: Ledger) -> RichTable:
    table = ruled(f"Accuracy on {len(record.ids)} samples, 95 % intervals")
    for column in ("", "Accuracy", "Interval"):
        table.add_column(column)
    rows = [("clean", record.clean_accuracy), ("under attack", record.accuracy)]
    if record.draws > 1:
        rows[1] = (f"under attack, majority of {record.draws} draws", record.accuracy)
        rows.append(("one fresh draw", record.accuracy_over_draws))
        rows.append(("success while optimising counts", record.accuracy_while_optimising))
    if record.accuracy_in_double is not None:
        rows.append(("in float64", record.accuracy_in_double))
    if any(record.infeasible):
        rows.append(("stands by the constraints alone", record.infeasible_rate))
    for name, estimate in rows:
        ends = numbers.span(numbers.percent(estimate.low), numbers.percent(estimate.high))
        table.add_row(name, numbers.percent(estimate.value), ends)
    if record.accuracy_in_double is None:
        table.add_row("in float64", safe(record.double_note), "")
    return table


def _stages(record: Ledger) -> RichTable:
    table = ruled("Attacks, in the order run")
    table.add_column("Attack", overflow="fold")
    for column in ("Tried", "Broken", "Forwards", "Backwards", "Seconds"):
        table.add_column(column, justify="right")
    for stage in record.stages:
        counts = (stage.tried, stage.broken, stage.forwards, stage.backwards)
        cells = (*(f"{count:,}" for count in counts), f"{stage.seconds:.1f}")
        table.add_row(safe(stage.attack), *cells)
    return table


def _answers(answers: Iterable[Answer]) -> RichTable:
    table = ruled("The claims")
    table.add_column("", no_wrap=True)
    table.add_column("Answer", no_wrap=True)
    table.add_column("Claim, what the runs say, effect with its 95 % interval", max_width=90)
    found = list(answers)
    for answer in found:
        lines = [safe(answer.claim, "bold"), safe(answer.says)]
        if answer.effect:
            effect = numbers.effect(answer.effect, answer.unit)
            lines.append(safe(f"{effect} ({numbers.ends(answer.effect, answer.unit)})", "dim"))
        word = said(answer.answer, "" if answer.counts else " *")
        table.add_row(safe(answer.id, "bold"), word, Text("\n").join(lines))
    if not all(answer.counts for answer in found):
        table.caption = "* does not count without the claims that it depends on"
        table.caption_justify = "left"
    return table


def _table(record: Table) -> RichTable:
    table = ruled(record.title)
    for column, numeric in zip(record.columns, numbers.numeric(record), strict=True):
        table.add_column(safe(column), justify="right" if numeric else "left")
    for row in record.rows:
        style = "bold" if row.pick else ""
        table.add_row(*(safe(cell, style) for cell in row.cells[: len(record.columns)]))
    return table


def _points(points: Iterable[Point]) -> list[RenderableType]:
    return [item(point.text, ", ".join(point.claims)) for point in points]
