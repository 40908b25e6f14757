"""`gradwarden watch`: a training run while it runs."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from gradwarden.clip.record import Event, Follower, Header, Row, Window

BLOCKS = "▁▂▃▄▅▆▇█"
NOT_FINITE = "!"
ROWS = 512  # steps that shares are taken of
EVENTS = 8
LABEL = 11  # columns


def watch(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="The file of attach(..., record=...).")
    ],
    once: Annotated[bool, typer.Option("--once", help="Show what there is, and end.")] = False,
    every: Annotated[float, typer.Option(min=0.1, help="Seconds between two looks.")] = 1.0,
) -> None:
    """Watch a training run: norms, threshold, share clipped, loss, events, who dominates.

    Follows the file that `attach(..., record="run.jsonl")` writes, 64 steps at a time. Ctrl-C ends
    the view, not the run.

    Examples:

        gradwarden watch run.jsonl

        gradwarden watch run.jsonl --once
    """
    from rich.console import Console
    from rich.live import Live

    from gradwarden.clip.record import Follower

    console, follower, seen = Console(), Follower(run), _Seen(run)
    seen.take(follower)
    if once:
        console.print(seen.shown(console.width))
        return
    try:
        with Live(seen.shown(console.width), console=console, auto_refresh=False) as live:
            while True:
                time.sleep(every)
                seen.take(follower)
                live.update(seen.shown(console.width), refresh=True)
    except KeyboardInterrupt:
        return


class _Seen:
    """The end of a record, as much of it as a screen shows."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.header: Header | None = None
        self.window: Window | None = None
        self.rows: deque[Row] = deque(maxlen=ROWS)
        self.events: deque[Event] = deque(maxlen=EVENTS)

    def take(self, follower: Follower) -> None:
        from gradwarden.clip.record import Event, Header, Row, not_a_record

        for entry in follower.read():
            if isinstance(entry, Header):
                self.header = entry
            elif isinstance(entry, Row):
                self.rows.append(entry)
            elif isinstance(entry, Event):
                self.events.append(entry)
            else:
                self.window = entry
        if self.header is None:
            raise not_a_record(self.path)

    def shown(self, width: int) -> RenderableType:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        from gradwarden.report.screen import safe

        assert self.header is not None
        rule = "no rule" if self.header.rule == "None" else self.header.rule
        title = Text.assemble(
            safe(str(self.path), "bold"), "  ", safe(f"{self.header.optimizer}, {rule}")
        )
        if not self.rows:
            return Group(title, "no steps yet: they are written 64 at a time")
        grid = Table.grid(padding=(0, 2))
        grid.add_column(width=LABEL, style="bold")
        grid.add_column(ratio=1)
        for label, what in self._lines(max(width - LABEL - 2, 10)):
            grid.add_row(label, what)
        return Group(title, grid)

    def _lines(self, width: int) -> list[tuple[str, Text]]:
        from rich.text import Text

        from gradwarden.report.numbers import number, percent
        from gradwarden.report.screen import safe

        last, n = self.rows[-1], len(self.rows)
        clipped = sum(r.clipped for r in self.rows) / n
        skipped = sum(r.skipped for r in self.rows) / n
        lines = [
            ("step", Text(f"{last.step:,}")),
            ("norm", Text(f"{number(last.norm)}, after clipping {number(last.after)}")),
            ("", _sparkline([r.norm for r in self.rows], list(self.rows), width)),
            ("threshold", Text(number(last.threshold))),
            (
                "clipped",
                Text(f"{percent(clipped)}, skipped {percent(skipped)}, of the last {n} steps"),
            ),
        ]
        losses = [r for r in self.rows if r.loss is not None]
        if losses:
            values = [math.nan if r.loss is None else r.loss for r in losses]
            lines.append(("loss", Text(number(values[-1]))))
            lines.append(("", _sparkline(values, losses, width)))
        if self.window is not None and self.window.dominant:
            held = ", ".join(f"{name} {percent(share)}" for name, share in self.window.dominant)
            lines.append(("dominant", safe(f"{held} of the squared norm")))
        for i, event in enumerate(self.events):
            said = safe(f"step {event.step:,}, {event.kind}: {event.why}", "yellow")
            lines.append(("" if i else "events", said))
        return lines


def _sparkline(values: Sequence[float], rows: Sequence[Row], width: int) -> Text:
    """One character a value, the last `width` of them; logarithmic where all are above 0."""
    from rich.text import Text

    values, rows = values[-width:], rows[-width:]
    finite = [v for v in values if math.isfinite(v)]
    scaled = [math.log(v) if min(finite) > 0.0 else v for v in finite]
    low, high = min(scaled, default=0.0), max(scaled, default=0.0)
    ahead, line = iter(scaled), Text()
    for value, row in zip(values, rows, strict=True):
        if not math.isfinite(value):
            line.append(NOT_FINITE, "bold red")
            continue
        place = (next(ahead) - low) / (high - low) if high > low else 0.5
        line.append(
            BLOCKS[round(place * (len(BLOCKS) - 1))],
            "red" if row.skipped else "yellow" if row.clipped else "green",
        )
    return line
