"""`gradwarden compare`: the main job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PAGE, RECORD, TEXT, STORE = "index.html", "results.json", "report.md", "runs"


def compare(
    tasks: Annotated[
        list[str] | None,
        typer.Argument(
            help="Names from `gradwarden tasks`, or tasks of your own, my_task.py:task. Default: "
            "lstm-text and digits-cnn."
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Every task of ours, under an hour on two cores."),
    ] = False,
    long: Annotated[
        bool, typer.Option("--long", help="Every task at full size, LunarLander too: eight hours.")
    ] = False,
    between: Annotated[
        str,
        typer.Option(
            help="Two contenders, A,B: clipping, masking, adversarial-training, "
            "randomised-smoothing, lower-learning-rate, warm-up, weight-decay, layer-norm, nothing, "
            "or a clipping rule or a mask by name."
        ),
    ] = "clipping,masking",
    out: Annotated[Path, typer.Option(help="Folder for the page, the record and the runs.")] = Path(
        "report"
    ),
    seeds: Annotated[int, typer.Option(help="Seeds of each training arm, at least 2.")] = 5,
    budget: Annotated[
        float | None,
        typer.Option(help="Minutes at most, about. Default: 5 for named tasks, 57 with --all."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep finished runs of that folder, do the rest.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Delete the runs of that folder and start anew.")
    ] = False,
) -> None:
    """Compare gradient clipping with gradient masking on real runs, and write the page.

    Trains and attacks small models on this machine (two to five minutes on two cores), tests each
    claim, and writes index.html and results.json. On a task of your own the page says whether to
    clip, with which threshold, whether the model can be attacked and what helps; `gradwarden
    new-task` writes the skeleton of one.

    Examples:

        gradwarden compare

        gradwarden compare lstm-text --out text --seeds 8

        gradwarden compare breast-cancer --budget 3

        gradwarden compare my_task.py:task

        gradwarden compare --all --out all

        gradwarden compare gpt-text --between clipping,warm-up

        gradwarden compare --resume
    """
    from rich.console import Console

    from gradwarden.cli.bar import Bar
    from gradwarden.cli.named import named
    from gradwarden.compare.comparison import command_of, run
    from gradwarden.core.errors import BadInput, StoreError
    from gradwarden.report.files import write
    from gradwarden.report.terminal import render

    if resume and force:
        raise BadInput("--resume keeps the stored runs and --force deletes them: give one of them")
    found = [name for name in (PAGE, RECORD, TEXT) if (out / name).exists()]
    if found and not (resume or force):
        raise StoreError(
            f"{out} holds the {found[0]} of another run: --resume goes on from its runs, --force "
            "replaces them, --out names another folder"
        )
    console, notes = Console(), Console(stderr=True)
    with Bar(notes) as bar:
        record = run(
            [named(task) if ":" in task else task for task in tasks or ()],
            store=out / STORE,
            between=between,
            every=every,
            long=long,
            seeds=seeds,
            minutes=budget,
            resume=resume,
            force=force,
            on_progress=bar.show,
            on_note=bar.note,
            command=command_of(tasks, seeds, budget, between, every=every, long=long),
        )
    for name in (RECORD, PAGE, TEXT):
        write(record, out / name)
    console.print(render(record))
    console.print(
        f"The page: [bold]{(out / PAGE).resolve()}[/bold]", highlight=False, soft_wrap=True
    )
