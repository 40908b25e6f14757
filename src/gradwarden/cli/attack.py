"""`gradwarden attack`: how accurate is this model under attack?"""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradwarden.cli import arguments
from gradwarden.cli.arguments import BallName, BudgetName
from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from collections.abc import Iterator

    from gradwarden.core.ledger_record import Ledger
    from gradwarden.core.protocols import Progress
    from gradwarden.core.threat import Threat


def attack(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            show_default=False,
            help="file.py:callable or package.module:callable; returns an nn.Module in eval mode.",
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            show_default=False,
            help="A .npz, .pt or .safetensors file that holds x and y, or a callable like MODEL.",
        ),
    ],
    ball: Annotated[BallName, typer.Option(show_default=False, help="Norm of the perturbations.")],
    radius: Annotated[
        str,
        typer.Option(
            show_default=False, help="Largest perturbation, for example 8/255; of l0, elements."
        ),
    ],
    box: Annotated[str, typer.Option(help="Lowest and highest value of x.")] = "0,1",
    budget: Annotated[
        BudgetName, typer.Option(help="How much is spent on each sample.")
    ] = BudgetName.standard,
    samples: Annotated[
        int | None, typer.Option(min=1, help="How many samples, drawn by seed. Default: all.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples in one pass.")] = 256,
    device: Annotated[str, typer.Option(help="For example cpu, cuda or cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Also write the record, as .json.")] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Folder that keeps finished batches, and goes on from them.")
    ] = None,
) -> None:
    """Attack a model with everything a budget holds, and say who broke which sample.

    The accuracy that is left is an upper bound: a stronger attack may leave less. Several
    processes share the work when torchrun starts them. Exit codes: 0 done, 2 bad input.

    Examples:

        gradwarden attack model.py:build --data test.npz --ball linf --radius 8/255

        gradwarden attack model.py:build --data test.npz --ball l2 --radius 0.5 --budget thorough
        --resume kept --out ledger.json

        torchrun --no-python --nproc-per-node 2 gradwarden attack model.py:build --data test.npz
        --ball linf --radius 8/255
    """
    if out is not None:
        arguments.check_out(out, ".json")
    threat = arguments.threat(ball, radius, box)
    with _processes(device) as (rank, place):
        ledger = _evaluated(
            model, data, threat, budget, samples, batch_size, place, seed, resume, rank == 0
        )
    if rank == 0:
        _show(ledger, out)


def _evaluated(
    model: str,
    data: str,
    threat: Threat,
    budget: BudgetName,
    samples: int | None,
    batch_size: int,
    device: str,
    seed: int,
    resume: Path | None,
    shown: bool,
) -> Ledger:
    import torch

    from gradwarden.attack.evaluate import evaluate
    from gradwarden.cli.subjects import subjects, try_out

    net, x, y, ids = subjects(model, data, threat, samples, device, seed)
    try:
        try_out(net, model, x[:1])
        with _bar(shown) as tell:
            ledger = evaluate(
                net,
                x,
                y,
                threat,
                budget=budget.value,
                seed=seed,
                ids=ids,
                batch_size=batch_size,
                resume=resume,
                on_progress=tell,
            )
    except torch.OutOfMemoryError:
        raise BadInput(f"{device} has not enough memory for one sample in one pass") from None
    origin = ledger.origin and replace(
        ledger.origin, command=shlex.join(["gradwarden", *sys.argv[1:]])
    )
    return replace(ledger, model=model, origin=origin)


@contextmanager
def _processes(device: str) -> Iterator[tuple[int, str]]:
    """This process's rank and device; joined with those that torchrun started beside it."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield 0, device
        return
    import torch.distributed as dist

    cuda = device == "cuda"
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield dist.get_rank(), f"cuda:{os.environ['LOCAL_RANK']}" if cuda else device
    finally:
        dist.destroy_process_group()


@contextmanager
def _bar(shown: bool) -> Iterator[Progress]:
    """Share of the work and remaining time, on a terminal; what falls needs no more."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    screen = Console(stderr=True)
    columns = (
        TextColumn("attacking"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        TextColumn("at most"),
    )
    off = not (shown and screen.is_terminal)
    with Progress(*columns, console=screen, transient=True, disable=off) as bar:
        row = bar.add_task("", total=None)
        yield lambda done, total: bar.update(row, completed=done, total=total)


def _show(ledger: Ledger, out: Path | None) -> None:
    from rich.console import Console

    from gradwarden.report.files import write
    from gradwarden.report.terminal import render

    console = Console()
    console.print(render(ledger))
    if out is not None:
        write(ledger, out)
        console.print(f"Written: {out}", highlight=False, markup=False, soft_wrap=True)
