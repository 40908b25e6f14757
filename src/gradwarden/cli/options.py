"""Arguments and options that `audit` and `attack` share, and what they name taken together."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, NamedTuple

import typer

from gradwarden.cli.arguments import BallName, BudgetName
from gradwarden.core.threat import Threat

Model = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        show_default=False,
        help="file.py:callable or package.module:callable; returns an nn.Module in eval mode, or an "
        "estimator with predict_proba.",
    ),
]
Data = Annotated[
    str,
    typer.Option(
        metavar="DATA",
        show_default=False,
        help="A .npz, .pt or .safetensors file that holds x and y, a .csv, or a callable like "
        "MODEL.",
    ),
]
Label = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Of a .csv: the column of the classes. Default: y."),
]
Ball = Annotated[
    BallName | None, typer.Option(show_default=False, help="Norm of the perturbations.")
]
Radius = Annotated[
    str | None,
    typer.Option(
        metavar="NUMBER",
        show_default=False,
        help="Largest perturbation, for example 8/255; of l0, elements.",
    ),
]
Box = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="Lowest and highest value of x. Default: 0,1."),
]
Named = Annotated[
    str | None,
    typer.Option(
        "--threat",
        metavar="CALLABLE",
        help="Instead of these three: file.py:callable, which returns a gradwarden.Threat.",
    ),
]
Budget = Annotated[BudgetName, typer.Option(metavar="BUDGET", help="quick, standard or thorough.")]
Samples = Annotated[
    int | None,
    typer.Option(metavar="N", min=1, help="How many samples, drawn by seed. Default: all."),
]
BatchSize = Annotated[int, typer.Option(metavar="N", min=1, help="Samples in one pass.")]
Device = Annotated[str, typer.Option(metavar="DEVICE", help="For example cpu, cuda or cuda:1.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Of every random draw.")]
Resume = Annotated[
    Path | None,
    typer.Option(metavar="FOLDER", help="Keeps what is finished, and goes on from there."),
]


class Work(NamedTuple):
    """What is to be attacked, how much of it, and where."""

    model: str
    data: str
    label: str | None
    threat: Threat
    budget: BudgetName
    samples: int | None
    batch_size: int
    device: str
    seed: int
    resume: Path | None
