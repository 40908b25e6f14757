"""The same answers for a terminal, as Rich renderables.

Every text of a record enters as `Text`, never as markup, and without control characters, so that a
name cannot colour the screen, move the cursor or set a window's title.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table as RichTable
from rich.text import Text

from gradwarden.core.comparison import Answer, Comparison, Point
from gradwarden.core.display import Table
from gradwarden.core.errors import BadInput
from gradwarden.core.examination import Examination
from gradwarden.core.ledger_record import Ledger
from gradwarden.report import numbers

# Symbol and colour; the word stands beside them, so neither is needed to read it.
ANSWERS = {"supported": ("✓", "green"), "refuted": ("✗", "red"), "open": ("○", "yellow")}
NOT_RUN = ("·", "dim")
VERDICTS = {"consistent": "green", "certified": "green", "masked": "red", "overstated": "red"}


def render(record: object) -> RenderableType:
    """What `rich.print` shows of a Comparison, an Examination or a Ledger; BadInput for others."""
    if isinstance(record, Comparison):
        return _comparison(record)
    if isinstance(record, Examination):
        return _examination(record)
    if isinstance(record, Ledger):
        return _ledger(record)
    raise BadInput(
        f"nothing to show for {type(record).__name__}, expected a Comparison, an Examination or a "
        "Ledger"
    )


def _comparison(record: Comparison) -> Group:
    return Group(
        _heading(record.title),
        *_points(record.summary),
        "",
        _answers(record.answers),
        "",
        _heading("Bottom line"),
        *_points(record.bottom_line),
        "",
        _table(record.seconds),
    )


def _examination(record: Examination) -> Group:
    verdict = safe(record.verdict.upper(), f"bold {VERDICTS.get(record.verdict, 'yellow')}")
    return Group(
        Text.assemble(verdict, "  ", safe(record.model)),
        *(_item(reason) for reason in record.reasons),
        "",
        _accuracies(record),
        *([_findings(record)] if record.findings else []),
        *(_item(f"replaced: {patch}") for patch in record.patches),
        *(_item(f"{gate.state}: {gate.says}") for gate in record.gates if gate.state != "green"),
        "",
        safe("A verdict is evidence, not proof.", "italic"),
    )


def _ledger(record: Ledger) -> Group:
    return Group(
        safe(record.model, "bold"),
        _columns(record),
        _stages(record),
        *(_item(f"{finding.why} {finding.remedy}") for finding in record.findings),
        *(_item(note) for note in record.notes),
        safe("An upper bound: a stronger attack may leave less.", "italic"),
    )


def _columns(record: Ledger) -> RichTable:
    table = _ruled(f"Accuracy on {len(record.ids)} samples, 95 % intervals")
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
    table = _ruled("Attacks, in the order run")
    table.add_column("Attack", overflow="fold")
    for column in ("Tried", "Broken", "Forwards", "Backwards", "Seconds"):
        table.add_column(column, justify="right")
    for stage in record.stages:
        counts = (stage.tried, stage.broken, stage.forwards, stage.backwards)
        cells = (*(f"{count:,}" for count in counts), f"{stage.seconds:.1f}")
        table.add_row(safe(stage.attack), *cells)
    return table


def _answers(answers: Iterable[Answer]) -> RichTable:
    table = _ruled("The claims")
    table.add_column("", no_wrap=True)
    table.add_column("Answer", no_wrap=True)
    table.add_column("Claim, what the runs say, effect with its 95 % interval", max_width=90)
    flat = list(_flat(answers))
    for answer in flat:
        symbol, colour = ANSWERS.get(answer.answer, NOT_RUN)
        said = safe(f"{symbol} {answer.answer}{'' if answer.counts else ' *'}", colour)
        lines = [safe(answer.claim, "bold"), safe(answer.says)]
        if answer.effect:
            effect = numbers.effect(answer.effect, answer.unit)
            lines.append(safe(f"{effect} ({numbers.ends(answer.effect, answer.unit)})", "dim"))
        table.add_row(safe(answer.id, "bold"), said, Text("\n").join(lines))
    if not all(answer.counts for answer in flat):
        table.caption = "* does not count without the claims that it depends on"
        table.caption_justify = "left"
    return table


def _flat(answers: Iterable[Answer]) -> Iterator[Answer]:
    for answer in answers:
        yield answer
        yield from _flat(answer.parts)


def _accuracies(record: Examination) -> RichTable:
    table = _ruled(f"Accuracy on {record.adaptive.n} samples, 95 % intervals")
    for column in ("", "Accuracy", "Interval"):
        table.add_column(column)
    rows = [("clean", record.clean), ("random noise", record.noise)]
    rows += [("naive attack", record.naive), ("adaptive attack", record.adaptive)]
    rows += [("certified", record.certified)] if record.certified else []
    for name, estimate in rows:
        ends = numbers.span(numbers.percent(estimate.low), numbers.percent(estimate.high))
        table.add_row(name, numbers.percent(estimate.value), ends)
    if record.claim is not None:
        table.add_row("claimed", numbers.percent(record.claim), "")
    return table


def _findings(record: Examination) -> RichTable:
    table = _ruled("Findings")
    for column in ("Module", "Check", "Share", "Why, and what to do"):
        table.add_column(column)
    for f in record.findings:
        module = "whole model" if f.module is None else f.module or "(root)"
        why = safe(f"{f.why} {f.remedy}")
        table.add_row(safe(module), safe(f.check), numbers.percent(f.share), why)
    return table


def _table(record: Table) -> RichTable:
    table = _ruled(record.title)
    for column, numeric in zip(record.columns, numbers.numeric(record), strict=True):
        table.add_column(safe(column), justify="right" if numeric else "left")
    for row in record.rows:
        style = "bold" if row.pick else ""
        table.add_row(*(safe(cell, style) for cell in row.cells[: len(record.columns)]))
    return table


def _ruled(title: str) -> RichTable:
    return RichTable(title=safe(title, "bold"), title_justify="left", box=box.SIMPLE_HEAD)


def _points(points: Iterable[Point]) -> list[RenderableType]:
    return [_item(point.text, ", ".join(point.claims)) for point in points]


def _item(text: str, claims: str = "") -> RenderableType:
    line = safe(text)
    if claims:
        line.append("  ").append_text(safe(f"[{claims}]", "dim"))
    return Padding(line, (0, 0, 0, 2), expand=False)


def _heading(text: str) -> Text:
    return safe(text, "bold")


def safe(text: str, style: str = "") -> Text:
    """`text` without control characters, never read as markup."""
    kept = (
        c if c == "\n" or unicodedata.category(c) not in ("Cc", "Cs") else "\ufffd" for c in text
    )
    return Text("".join(kept), style=style)
