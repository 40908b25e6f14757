"""`gradwarden attack`: how accurate is this model under attack?"""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradwarden.cli import arguments, options
from gradwarden.cli.arguments import BudgetName
from gradwarden.cli.progress import progress, stoppable
from gradwarden.cli.threats import threat_of
from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from gradwarden.core.ledger_record import Ledger


def attack(
    model: options.Model,
    data: options.Data,
    label: options.Label = None,
    ball: options.Ball = None,
    radius: options.Radius = None,
    box: options.Box = None,
    threat: options.Named = None,
    budget: options.Budget = BudgetName.standard,
    samples: options.Samples = None,
    batch_size: options.BatchSize = 256,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Also write the record, as .json.")
    ] = None,
    resume: options.Resume = None,
) -> None:
    """Attack a model with everything a budget holds, and say who broke which sample.

    The accuracy that is left is an upper bound: a stronger attack may leave
    less. Several processes share the work when torchrun starts them.

    Exit codes: 0 done, 2 bad input, 130 interrupted.

    Examples:

        gradwarden attack model.py:build --data x.npz --ball linf --radius 8/255

        gradwarden attack model.py:build --data x.npz --ball l2 --radius 0.5
        --budget thorough --resume kept --out ledger.json

        torchrun --no-python --nproc-per-node 2 gradwarden attack model.py:build
        --data x.npz --ball linf --radius 8/255
    """
    if out is not None:
        arguments.check_out(out, ".json")
    against = threat_of(ball, radius, box, threat)
    work = options.Work(
        model, data, label, against, budget, samples, batch_size, device, seed, resume
    )
    with _processes(device) as (rank, place):
        ledger = _evaluated(work._replace(device=place), shown=rank == 0)
    if rank == 0:
        _show(ledger, out)


def _evaluated(work: options.Work, *, shown: bool) -> Ledger:
    from gradwarden.attack.evaluate import evaluate
    from gradwarden.attack.memory import out_of_memory
    from gradwarden.cli.subjects import subjects

    try:
        found = subjects(work)
        with stoppable("finished batches", work.resume), progress("attacking", shown=shown) as tell:
            ledger = evaluate(
                found.model,
                found.x,
                found.y,
                work.threat,
                budget=work.budget.value,
                seed=work.seed,
                ids=found.ids,
                batch_size=work.batch_size,
                resume=work.resume,
                on_progress=tell,
            )
    except (RuntimeError, MemoryError) as why:
        if not out_of_memory(why):
            raise
        raise BadInput(f"{work.device} has not enough memory for one sample in one pass") from None
    origin = ledger.origin and replace(
        ledger.origin, command=shlex.join(["gradwarden", *sys.argv[1:]])
    )
    notes = (*found.notes, *ledger.notes)
    return replace(ledger, model=work.model, origin=origin, notes=notes)


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


def _show(ledger: Ledger, out: Path | None) -> None:
    from rich.console import Console

    from gradwarden.report.files import write
    from gradwarden.report.terminal import render

    console = Console()
    console.print(render(ledger))
    if out is not None:
        write(ledger, out)
        console.print(f"Written: {out}", highlight=False, markup=False, soft_wrap=True)
