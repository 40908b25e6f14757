"""An audit for a terminal: what a reader needs to act, without the pictures and the long tables."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table as RichTable
from rich.text import Text

from gradwarden.core.estimate import Estimate
from gradwarden.core.examination import Examination, Gate
from gradwarden.report import numbers
from gradwarden.report.screen import item, ruled, safe

VERDICTS = {"consistent": "green", "certified": "green", "masked": "red", "overstated": "red"}
GATES = {"red": ("✗", "red")}
NOT_RUN = ("·", "yellow")


def examination(record: Examination) -> Group:
    verdict = safe(record.verdict.upper(), f"bold {VERDICTS.get(record.verdict, 'yellow')}")
    parts: list[RenderableType] = [
        Text.assemble(verdict, "  ", safe(record.model)),
        *(item(reason) for reason in record.reasons),
        "",
        safe(f"{record.threat}, {record.budget} budget", "dim"),
        "",
        _accuracies(record),
    ]
    parts += [_removed(record)] if record.removed else []
    parts += [_findings(record)] if record.findings else []
    parts += [item(f"replaced: {patch}") for patch in record.patches]
    parts += _gates(record)
    parts += ["", *(item(f"note: {note}") for note in record.notes)] if record.notes else []
    return Group(*parts, "", safe("A verdict is evidence, not proof.", "italic"))


def _accuracies(record: Examination) -> RichTable:
    table = ruled(f"Accuracy on {record.adaptive.n} samples, 95 % intervals")
    for column in ("", "Accuracy", "Interval"):
        table.add_column(column)
    rows = [("clean", record.clean), ("random noise", record.noise), ("naive attack", record.naive)]
    rows += [("black box", record.black_box)] if record.black_box else []
    rows += [("adaptive attack", record.adaptive)]
    rows += [("certified", record.certified)] if record.certified else []
    for name, estimate in rows:
        table.add_row(name, numbers.percent(estimate.value), _ends(estimate))
    if record.claim is not None:
        table.add_row("claimed", numbers.percent(record.claim), "")
    return table


def _removed(record: Examination) -> RichTable:
    """The waterfall, a line each."""
    table = ruled("Who removed what, from the clean accuracy down")
    table.add_column("What the attacker did", max_width=60, overflow="fold")
    table.add_column("Removed", justify="right", no_wrap=True)
    table.add_column("Left", justify="right", no_wrap=True)
    for line in record.removed:
        left = numbers.percent(line.accuracy.value)
        table.add_row(safe(line.by), numbers.points(line.points), left)
    return table


def _findings(record: Examination) -> RichTable:
    table = ruled("Findings")
    table.add_column("Module", overflow="fold")
    table.add_column("Check", overflow="fold")
    table.add_column("Share", justify="right", no_wrap=True)
    table.add_column("Why, and what to do", max_width=90)
    for f in record.findings:
        module = safe("whole model" if f.module is None else f.module or "(the model)")
        for word in (f.kind, f.line):
            module.append_text(safe(f"\n{word}" if word else "", "dim"))
        why = safe(" ".join(word for word in (f.why, f.remedy) if word))
        table.add_row(module, safe(f.check), numbers.percent(f.share), why)
    return table


def _gates(record: Examination) -> list[RenderableType]:
    """Those that are not green, with what would settle them."""
    waiting = [gate for gate in record.gates if gate.state != "green"]
    return ["", *map(_gate, waiting)] if waiting else []


def _gate(gate: Gate) -> RenderableType:
    symbol, colour = GATES.get(gate.state, NOT_RUN)
    line = safe(f"{symbol} {gate.name}, {gate.state}: ", colour).append_text(safe(gate.says))
    return item(line.append_text(safe(f"\n→ {gate.settle}" if gate.settle else "", "dim")))


def _ends(estimate: Estimate) -> str:
    return numbers.span(numbers.percent(estimate.low), numbers.percent(estimate.high))
