"""`gradwarden zoo`: the models with known answers; trains and judges them again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

DIFFERS = 1  # exit code


def zoo(
    train: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Train again into DIR and compare accuracies."),
    ] = None,
    judge: Annotated[
        bool, typer.Option("--judge", help="Attack again, and write the answers anew.")
    ] = False,
    only: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="These models instead of all.")
    ] = None,
    processes: Annotated[int, typer.Option(min=1, help="That work at a time.")] = 2,
) -> None:
    """Small trained models whose true robustness is known, masked and honest.

    Clean, naive (FGSM and 40 steps of PGD) and best known accuracy are of the same samples. A model
    is masked where naive exceeds best known by 10 points or more, p < 0.001 (exact McNemar).
    With --train, the exit code is 1 where an accuracy is more than 2 points off.

    Examples:

        gradwarden zoo

        gradwarden zoo --train /tmp/zoo --only digits-jpeg
    """
    from gradwarden.core.errors import BadInput
    from gradwarden.zoo.registry import entry, names

    chosen = names() if only is None else tuple(n.strip() for n in only.split(",") if n.strip())
    for name in chosen:
        entry(name)
    if train is not None and judge:
        raise BadInput("--train and --judge exclude each other: train first, then judge")
    if train is not None:
        _train(chosen, train, processes)
    elif judge:
        _judge(chosen, processes)
    else:
        _show(chosen)


NARROW = ("Name", "Clean", "Naive", "Best known", "Masked")  # what 80 columns hold
WIDE = 120


def _show(chosen: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from gradwarden.zoo.listing import COLUMNS, row
    from gradwarden.zoo.store import answers

    console = Console(markup=False, highlight=False)
    shown = [c for c in COLUMNS if c in NARROW or (console.width >= WIDE and c != "Half")]
    halves: dict[str, list[dict[str, str]]] = {}
    for name in chosen:
        cells = dict(zip(COLUMNS, row(answers(name)), strict=True))
        halves.setdefault(cells["Half"], []).append(cells)
    for half, rows in halves.items():
        table = Table(title=f"Zoo, {half} half", box=box.SIMPLE_HEAD, title_justify="left")
        for column in shown:
            words = column in ("Family", "Kind", "By")
            table.add_column(column, overflow="fold", no_wrap=not words)
        for cells in rows:
            table.add_row(*(cells[column] for column in shown))
        console.print(table)
    if console.width < WIDE:
        console.print(f"Family, kind and best attack are shown on {WIDE} columns and more.")


def _train(chosen: Sequence[str], folder: Path, processes: int) -> None:
    from gradwarden.zoo.retrain import Retrained, retrain

    def tell(done: Retrained) -> None:
        word = "agrees" if done.agrees else "DIFFERS"
        typer.echo(
            f"{done.name}: stored {done.stored:.1%}, again {done.again:.1%}, {word} "
            f"({done.seconds:.0f} s)"
        )

    done = retrain(chosen, folder, tell, processes)
    off = [one.name for one in done if not one.agrees]
    if off:
        typer.echo(f"more than 2 points off: {', '.join(off)}", err=True)
        raise typer.Exit(DIFFERS)
    typer.echo(f"all {len(done)} within 2 points")


def _judge(chosen: Sequence[str], processes: int) -> None:
    from gradwarden.zoo.judge import judge
    from gradwarden.zoo.known import Answers
    from gradwarden.zoo.listing import row
    from gradwarden.zoo.retrain import shared

    def tell(done: Answers) -> None:
        typer.echo(" | ".join(row(done)))

    shared(judge, [(name,) for name in chosen], tell, processes)
