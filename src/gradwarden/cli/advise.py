"""`gradwarden advise`: what a run's record says about its clipping."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gradwarden.clip.advice import Advice

MEANING = {
    "idle": "clipping has nothing to do",
    "guard": "clipping catches accidents",
    "trim": "clipping shortens ordinary steps",
    "normaliser": "clipping sets the length of the steps",
}
EVENTS = 10


def advise(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The file of attach(..., record=...).")
    ],
) -> None:
    """Advise on a run's clipping: threshold, learning-rate head-room, whether it matters.

    Reads the file that `attach(..., record="run.jsonl")` wrote; attach(optimizer, None, ...) records
    without clipping anything.

    Examples:

        gradwarden advise run.jsonl
    """
    from rich.console import Console

    from gradwarden.clip.advice import advise as advice_on
    from gradwarden.clip.record import read_record

    Console().print(_shown(advice_on(read_record(run))))


def _shown(advice: Advice) -> RenderableType:
    from rich.console import Group
    from rich.table import Table

    from gradwarden.report.numbers import TIMES, number, percent
    from gradwarden.report.screen import safe

    rule = "no rule" if advice.rule == "None" else advice.rule
    head = (
        f"{advice.steps:,} steps with {advice.optimizer} and {rule}: median norm "
        f"{number(advice.norm)}, {percent(advice.clipped)} clipped, {percent(advice.skipped)} skipped"
    )
    room = "-" if advice.head_room is None else f"{TIMES}{number(advice.head_room, 2)}"
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(ratio=1)
    for label, value, why in (
        ("role", advice.role, f"{MEANING[advice.role]}. {_sentence(advice.role_why)}"),
        ("threshold", number(advice.threshold), _sentence(advice.threshold_why)),
        ("rate", percent(advice.rate), _sentence(advice.rate_why)),
        ("head-room", room, _sentence(advice.head_room_why)),
    ):
        grid.add_row(label, value, safe(why))
    for event in advice.events[-EVENTS:]:
        grid.add_row("event", f"{event.step:,}", safe(f"{event.kind}: {event.why}", "yellow"))
    return Group(safe(head), grid)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."
