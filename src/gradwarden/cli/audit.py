"""`gradwarden audit`: is this model's robustness real?"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradwarden.cli import arguments
from gradwarden.cli.arguments import VERDICTS, BallName
from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from gradwarden.core.examination import Examination
    from gradwarden.core.threat import Threat

LISTED = 1  # the exit code where --fail-on lists the verdict


def audit(
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
        str, typer.Option(show_default=False, help="Largest perturbation, for example 8/255.")
    ],
    box: Annotated[str, typer.Option(help="Lowest and highest value of x.")] = "0,1",
    claim: Annotated[
        float | None, typer.Option(help="Accuracy under attack that is claimed, in [0, 1].")
    ] = None,
    fail_on: Annotated[
        str, typer.Option(metavar="WORDS", help=f"Exit with 1 on these of {', '.join(VERDICTS)}.")
    ] = "",
    samples: Annotated[
        int | None, typer.Option(min=1, help="How many samples, drawn by seed. Default: all.")
    ] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Samples in one pass.")] = 256,
    device: Annotated[str, typer.Option(help="For example cpu, cuda or cuda:1.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of every random draw.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Also write the record, as .html or .json.")
    ] = None,
) -> None:
    """Find out whether a model's accuracy under attack is real, or its gradient is only hidden.

    Attacks the model twice on the same samples: along its own gradient, and along a gradient
    that goes around whatever hides it. Exit codes: 0 done, 1 the verdict is listed in --fail-on,
    2 bad input.

    Examples:

        gradwarden audit model.py:build --data test.npz --ball linf --radius 8/255

        gradwarden audit nets.resnet:trained --data data.py:held_out --ball l2 --radius 0.5
        --samples 500 --device cuda --out audit.html

        gradwarden audit model.py:build --data test.npz --ball linf --radius 8/255 --claim 0.85
        --fail-on masked,overstated
    """
    failing = arguments.verdicts(fail_on)
    if out is not None:
        arguments.check_out(out, ".html", ".json")
    threat = arguments.threat(ball, radius, box)
    record = _examine(model, data, threat, claim, samples, batch_size, device, seed)

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


def _examine(
    model: str,
    data: str,
    threat: Threat,
    claim: float | None,
    samples: int | None,
    batch_size: int,
    device: str,
    seed: int,
) -> Examination:
    import torch
    from rich.console import Console
    from rich.progress import Progress

    from gradwarden.audit.examine import examine
    from gradwarden.cli.subjects import subjects, try_out

    net, x, y, ids = subjects(model, data, threat, samples, device, seed)
    screen = Console(stderr=True)
    with Progress(console=screen, transient=True, disable=not screen.is_terminal) as bar:
        row = bar.add_task("auditing", total=None)
        try:
            try_out(net, model, x[:batch_size])
            return examine(
                net,
                x,
                y,
                threat,
                claim=claim,
                seed=seed,
                ids=ids,
                batch_size=batch_size,
                name=model,
                command=shlex.join(["gradwarden", *sys.argv[1:]]),
                on_progress=lambda done, total: bar.update(row, completed=done, total=total),
            )
        except torch.OutOfMemoryError:
            raise BadInput(
                f"{device} has not enough memory for {batch_size} samples in one pass: give a "
                "smaller --batch-size"
            ) from None
