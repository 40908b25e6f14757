"""`gradwarden replay`: which module made a lost step's first value that is not finite?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gradwarden.cli.named import made
from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from torch import nn

    from gradwarden.clip.replay import Loss, Replayed


def replay(
    dump: Annotated[
        Path, typer.Argument(metavar="DUMP", help="A folder that attach(..., dump=...) wrote into.")
    ],
    factory: Annotated[
        str,
        typer.Argument(
            metavar="FACTORY",
            show_default=False,
            help="file.py:callable or package.module:callable; returns (model, loss), where "
            "loss(model, batch) is what training called backward on.",
        ),
    ],
) -> None:
    """Replay a lost step, and name the first module with a value that is not finite.

    Forward and backward run again, from the dumped weights, random states and batch. Exit codes:
    0 done, 2 bad input.

    Examples:

        gradwarden replay dumps/step-1234 train.py:model_and_loss
    """
    from rich.console import Console

    from gradwarden.clip.replay import replay as replay_of
    from gradwarden.report.screen import safe

    model, loss = _made(factory)
    found = replay_of(dump, model, loss)
    console = Console()
    console.print(safe(_said(found), "bold"), soft_wrap=True)
    console.print(safe(found.why), soft_wrap=True)
    for note in found.notes:
        console.print(safe(f"note: {note}", "dim"), soft_wrap=True)


def _made(factory: str) -> tuple[nn.Module, Loss]:
    from torch import nn

    pair = made(factory)
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise BadInput(f"{factory} returned {type(pair).__name__}, expected (model, loss)")
    model, loss = pair
    if not isinstance(model, nn.Module) or not callable(loss):
        raise BadInput(
            f"{factory} returned ({type(model).__name__}, {type(loss).__name__}), expected a "
            "torch.nn.Module and a callable loss(model, batch)"
        )
    return model, loss


def _said(found: Replayed) -> str:
    step = f"step {found.step}"
    if found.phase is None:
        return f"{step}: nothing that is not finite came up again"
    if found.phase == "input":
        return f"{step}: it is the batch"
    if found.phase == "loss":
        return f"{step}: it is the loss function, no module of the model"
    name = found.module or "the model itself"
    return f"{step}: {name} ({found.kind}), in the {found.phase} pass"
