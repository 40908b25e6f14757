"""The command `gradwarden`: registers the commands, turns errors into sentences and exit codes.

Each command's file holds its signature and imports the rooms inside, so that help stays fast.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gradwarden import __version__
from gradwarden.cli.advise import advise
from gradwarden.cli.attack import attack
from gradwarden.cli.attacks import attacks
from gradwarden.cli.audit import audit
from gradwarden.cli.compare import compare
from gradwarden.cli.masks import masks
from gradwarden.cli.new_task import new_task
from gradwarden.cli.replay import replay
from gradwarden.cli.rules import rules
from gradwarden.cli.tasks import tasks
from gradwarden.cli.watch import watch
from gradwarden.cli.zoo import zoo
from gradwarden.core.errors import GradwardenError

BAD_INPUT, INTERRUPTED = 2, 130


class Sentences(TyperGroup):
    """An error that the user can mend is one sentence on stderr, never a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except GradwardenError as why:
            typer.secho(f"gradwarden: {why}", fg="red", err=True)
            raise typer.Exit(BAD_INPUT) from None
        except KeyboardInterrupt as why:
            hints = {"compare": "finished runs are kept, --resume goes on from them"}
            hint = str(why) or hints.get(ctx.invoked_subcommand or "", "nothing was written")
            typer.echo(f"\ngradwarden: interrupted; {hint}", err=True)
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    name="gradwarden",
    cls=Sentences,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"gradwarden {__version__}")
        raise typer.Exit


@app.callback()
def gradwarden(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Clip gradients without losing a run, and find out whether a robustness figure is real.

    Examples:

        gradwarden compare

        gradwarden audit model.py:build --data digits.npz --ball linf --radius 0.1

        gradwarden rules
    """


COMMANDS = (
    compare,
    audit,
    attack,
    watch,
    advise,
    replay,
    tasks,
    new_task,
    rules,
    masks,
    attacks,
    zoo,
)
for command in COMMANDS:
    app.command()(command)


def main() -> None:
    """The console script's entry."""
    app(prog_name="gradwarden")
