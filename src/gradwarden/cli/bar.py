"""The progress bar of a comparison, whose remaining time comes from what the finished runs cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from gradwarden.compare.clock import Progress


class Bar:
    """Shown on `console` while it is open; notes are printed above it."""

    def __init__(self, console: object) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
        from rich.progress import Progress as RichProgress

        assert isinstance(console, Console)
        self._bar = RichProgress(
            TextColumn("{task.fields[left]:>14}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("runs,"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[latest]}"),
            console=console,
        )
        self._task = self._bar.add_task("", total=None, left="starting", latest="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def note(self, sentence: str) -> None:
        self._bar.console.print(sentence, highlight=False)

    def show(self, progress: Progress) -> None:
        self._bar.update(
            self._task,
            total=progress.total,
            completed=progress.done,
            left=_left(progress.seconds_left),
            latest=progress.latest,
        )


def _left(seconds: float | None) -> str:
    if seconds is None:
        return "measuring"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d} left"
