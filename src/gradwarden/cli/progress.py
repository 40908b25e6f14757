"""What a long command shows while it works, and what it says when it is stopped."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gradwarden.core.protocols import Progress


@contextmanager
def progress(label: str, *, shown: bool = True) -> Iterator[Progress]:
    """Share of the work and the most time that is left, on a terminal; elsewhere nothing."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    columns = (
        TextColumn(label),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("at most"),  # what falls needs no more
    )
    off = not (shown and screen.is_terminal)
    with Progress(*columns, console=screen, transient=True, disable=off) as bar:
        row = bar.add_task("", total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


@contextmanager
def stoppable(finished: str, resume: Path | None) -> Iterator[None]:
    """An interrupt carries the sentence that says how to go on; `finished` is what was kept."""
    try:
        yield
    except KeyboardInterrupt:
        if resume is None:
            hint = f"nothing was kept: --resume FOLDER keeps {finished} and goes on from them"
        else:
            hint = (
                f"{finished} are kept: the same command, with --resume {shlex.quote(str(resume))}, "
                "goes on from them"
            )
        raise KeyboardInterrupt(hint) from None
