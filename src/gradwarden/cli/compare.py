"""`gradwarden compare`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer

if TYPE_CHECKING:
    from gradwarden.compare.executor import Progress

PAGE, RECORD, STORE = "index.html", "results.json", "runs"


def compare(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names from `gradwarden tasks`, or tasks of your own, my_task.py:task. Default: "
            "lstm-text and digits-cnn."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the page, the record and the runs.")] = Path(
        "report"
    ),
    seeds: Annotated[int, typer.Option(help="Seeds of each training arm, at least 2.")] = 5,
    budget: Annotated[
        float | None, typer.Option(help="Minutes, about, for named tasks. Default: 5.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep finished runs of that folder, do the rest.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Delete the runs of that folder and start anew.")
    ] = False,
) -> None:
    """Compare gradient clipping with gradient masking on real runs, and write the page.

    Trains and attacks small models on this machine (about two minutes on two cores), tests each
    claim, and writes index.html and results.json. On a task of your own the page says whether to
    clip, with which threshold, whether the model can be attacked and what helps; `gradwarden
    new-task` writes the skeleton of one.

    Examples:

        gradwarden compare

        gradwarden compare lstm-text --out text --seeds 8

        gradwarden compare breast-cancer --budget 3

        gradwarden compare my_task.py:task

        gradwarden compare --resume
    """
    from rich.console import Console

    from gradwarden.cli.named import named
    from gradwarden.compare.comparison import command_of, run
    from gradwarden.core.errors import BadInput, StoreError
    from gradwarden.report.files import write
    from gradwarden.report.terminal import render

    if resume and force:
        raise BadInput("--resume keeps the stored runs and --force deletes them: give one of them")
    found = [name for name in (PAGE, RECORD) if (out / name).exists()]
    if found and not (resume or force):
        raise StoreError(
            f"{out} holds the {found[0]} of another run: --resume goes on from its runs, --force "
            "replaces them, --out names another folder"
        )
    console, notes = Console(), Console(stderr=True)
    with _Bar(notes) as bar:
        record = run(
            [named(task) if ":" in task else task for task in tasks or ()],
            store=out / STORE,
            seeds=seeds,
            minutes=budget,
            resume=resume,
            force=force,
            on_progress=bar.show,
            on_note=bar.note,
            command=command_of(tasks, seeds, budget),
        )
    write(record, out / RECORD)
    write(record, out / PAGE)
    console.print(render(record))
    console.print(
        f"The page: [bold]{(out / PAGE).resolve()}[/bold]", highlight=False, soft_wrap=True
    )


class _Bar:
    """A progress bar whose remaining time comes from what the finished runs cost."""

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
