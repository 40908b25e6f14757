"""`gradwarden audit`: is this model's robustness real?"""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradwarden.cli import arguments, options
from gradwarden.cli.arguments import VERDICTS, BudgetName
from gradwarden.cli.progress import progress, stoppable
from gradwarden.cli.threats import threat_of
from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.cli.subjects import Subjects
    from gradwarden.core.examination import Examination

LISTED = 1  # the exit code where --fail-on lists the verdict


def audit(
    model: options.Model,
    data: options.Data,
    label: options.Label = None,
    ball: options.Ball = None,
    radius: options.Radius = None,
    box: options.Box = None,
    threat: options.Named = None,
    budget: options.Budget = BudgetName.standard,
    claim: Annotated[
        float | None,
        typer.Option(metavar="NUMBER", help="Accuracy under attack that is claimed, in [0, 1]."),
    ] = None,
    certify: Annotated[
        bool, typer.Option("--certify", help="Also prove what our certificates can.")
    ] = False,
    fail_on: Annotated[
        str, typer.Option(metavar="WORDS", help=f"Exit with 1 on these of {', '.join(VERDICTS)}.")
    ] = "",
    samples: options.Samples = None,
    batch_size: options.BatchSize = 256,
    device: options.Device = "cpu",
    seed: options.Seed = 0,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Also write the record, as .html or .json."),
    ] = None,
    resume: options.Resume = None,
) -> None:
    """Find out whether accuracy under attack is real, or the gradient only hidden.

    Attacks the model on the same samples along its own gradient, and then along
    a gradient that goes around whatever hides it. The verdict is evidence, not
    proof. MODEL is run as the code that it is: audit what you would run.

    Exit codes: 0 done, 1 the verdict is listed in --fail-on, 2 bad input, 130
    interrupted.

    Examples:

        gradwarden audit model.py:build --data x.npz --ball linf --radius 8/255

        gradwarden audit nets.resnet:trained --data data.py:held_out --ball l2
        --radius 0.5 --samples 500 --device cuda --resume kept --out audit.html

        gradwarden audit model.py:build --data x.npz --ball linf --radius 8/255
        --claim 0.85 --budget quick --fail-on masked,overstated

        gradwarden audit fraud.py:model --data rows.csv --label fraud
        --threat fraud.py:threat
    """
    failing = arguments.verdicts(fail_on)
    if out is not None:
        arguments.check_out(out, ".html", ".json")
    against = threat_of(ball, radius, box, threat)
    work = options.Work(
        model, data, label, against, budget, samples, batch_size, device, seed, resume
    )
    record = _examined(work, claim, certify)

    from rich.console import Console

    from gradwarden.report.files import write
    from gradwarden.report.terminal import render

    console = Console()
    console.print(render(record))
    if out is not None:
        write(record, out)
        console.print(f"Written: {out}", highlight=False, markup=False, soft_wrap=True)
    if record.verdict in failing:
        raise typer.Exit(LISTED)


def _examined(work: options.Work, claim: float | None, certify: bool) -> Examination:
    from gradwarden.attack.memory import out_of_memory
    from gradwarden.audit.examine import examine
    from gradwarden.cli.subjects import subjects

    try:
        found = subjects(work)
        with stoppable("finished searches", work.resume), progress("auditing") as tell:
            holds, said = _certified(work, found) if certify else (None, ())
            record = examine(
                found.model,
                found.x,
                found.y,
                work.threat,
                claim=claim,
                budget=work.budget.value,
                certified=holds,
                seed=work.seed,
                ids=found.ids,
                batch_size=work.batch_size,
                name=work.model,
                command=shlex.join(["gradwarden", *sys.argv[1:]]),
                resume=work.resume,
                on_progress=tell,
            )
    except (RuntimeError, MemoryError) as why:
        if not out_of_memory(why):
            raise
        raise BadInput(
            f"{work.device} has not enough memory for {work.batch_size} samples in one pass: give a "
            "smaller --batch-size, and fewer --samples where that is not enough"
        ) from None
    return replace(record, notes=(*found.notes, *said, *record.notes))


def _certified(work: options.Work, found: Subjects) -> tuple[Tensor | None, tuple[str, ...]]:
    from gradwarden.cli.certificates import certificates

    made = certificates(found.model, found.x, found.y, work.threat, work.batch_size)
    return made.holds, (made.says,)
