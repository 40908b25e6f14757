"""The comparison from beginning to end: plan, run what is missing, judge the claims."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from gradwarden.compare.clock import OnProgress
from gradwarden.compare.evidence import purpose_of, resting, run_list
from gradwarden.compare.figures import figures, gallery
from gradwarden.compare.judge import judge
from gradwarden.compare.picks import DEFAULT_PAIR, QUICK, SECURE, TRAIN, Picks
from gradwarden.compare.results import Results
from gradwarden.compare.runs import OnNote, Runs, opened
from gradwarden.compare.seconds import origin, seconds_table
from gradwarden.compare.sentences import NOT_RUN
from gradwarden.compare.store import Store
from gradwarden.compare.verdict import bottom_line, contender, summary
from gradwarden.core.comparison import Answer, Comparison, Run
from gradwarden.core.errors import BadInput

TITLE = "Gradient clipping vs gradient masking"
DEFAULT = ("lstm-text", "digits-cnn")  # tasks of the default comparison
SEEDS, MINUTES = 5, 5.0
DEFAULT_BY = {"": DEFAULT, TRAIN: DEFAULT[:1], SECURE: DEFAULT[1:]}
CLAIMS = (
    "C0",
    "C1",
    "C2",
    "C3",
    "C4",
    "C5",
    "M1",
    "M2",
    "H2",
)  # said to be not run where they were not
EVERY_MINUTES, LONG_MINUTES = 57.0, 480.0  # a little less than an hour: the page takes time too


def run(
    tasks: Sequence[object] | None = None,
    *,
    store: str | Path,
    between: str = DEFAULT_PAIR,
    every: bool = False,
    long: bool = False,
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
    tasks: in about `minutes` (default 5), each claim by task and pooled. `every` is all our tasks in
    under an hour on two cores; `long` takes them at full size, LunarLander too, in eight hours.

    `between` names the two contenders as "A,B": clipping, masking, adversarial-training,
    randomised-smoothing, lower-learning-rate, warm-up, weight-decay, layer-norm, nothing, a clipping
    rule or a mask by name, with options or without: "MaxNorm(0.5),warm-up".

    `store` is a folder for the finished runs. Where it holds runs already, `resume` uses those that
    are still valid and `force` deletes them first; without either StoreError is raised, and nothing
    is touched. `on_note` gets one sentence for what a user should know (what was reused or not, what
    it costs). `command` is what reproduces it, for the record. Raises BadInput, StoreError,
    MissingData, MissingExtra, RunFailed.
    """
    if seeds < 2:
        raise BadInput(f"seeds must be at least 2, for an interval over seeds, got {seeds}")
    if minutes is not None and not 0.0 < minutes < math.inf:
        raise BadInput(f"minutes must be above 0, got {minutes}")
    place = Store(Path(store))
    how = command or command_of(tasks, seeds, minutes, between, every=every, long=long)
    runs = partial(_opened, place, on_progress, on_note, resume=resume, force=force)
    others = bool(tasks) and any(task not in DEFAULT for task in tasks or ())
    if not (every or long or others or between != DEFAULT_PAIR):
        return _default(tasks, seeds, minutes, runs, how)
    # They judge by what is defined here.
    from gradwarden.compare.between import between as named
    from gradwarden.compare.page import compared
    from gradwarden.compare.subjects import chosen, every_task

    pair = named(between)
    if every or long:
        if tasks:
            raise BadInput(f"every task or named ones, not both: got {len(tasks)} of them")
        subjects = every_task(pair.serves, long)
    else:
        subjects = chosen(tasks or DEFAULT_BY[pair.alike], pair.serves)
    given = minutes or (LONG_MINUTES if long else EVERY_MINUTES if every else MINUTES)
    least = not (every or long)  # who names tasks wants an answer on each
    return compared(
        subjects, pair, runs(given), seeds=seeds, minutes=given, least=least, command=how
    )


def _opened(
    place: Store,
    on_progress: OnProgress | None,
    on_note: OnNote | None,
    minutes: float | None = None,
    *,
    resume: bool,
    force: bool,
) -> Runs:
    """The store for this comparison's runs, whose clock starts here."""
    opened(place, resume=resume, force=force)
    deadline = None if minutes is None else time.monotonic() + 60.0 * minutes
    return Runs(place, on_progress, on_note, deadline)


def _default(
    tasks: Sequence[object] | None,
    seeds: int,
    minutes: float | None,
    opened: Callable[[], Runs],
    command: str,
) -> Comparison:
    if minutes is not None:
        raise BadInput(
            f"the default comparison takes a few minutes: a budget, got {minutes:g} minutes, is for "
            "tasks that are named"
        )
    from gradwarden.compare.quick import jobs

    planned = jobs([name for name in DEFAULT if not tasks or name in tasks], range(seeds))
    runs = opened()
    found = runs.of(planned)
    return comparison(found, QUICK, command=command, elapsed=runs.elapsed, reused=runs.reused)


def comparison(
    runs: tuple[Run, ...], picks: Picks, *, command: str, elapsed: float, reused: int
) -> Comparison:
    """The record that `runs` amount to; `elapsed` seconds were spent, `reused` runs were at hand."""
    results = Results.of(runs)
    answers = asked(judge(results, picks))
    by_task = {
        task: tuple(run for run in runs if run.task == task) for task in {run.task for run in runs}
    }
    answers = {id: resting(a, _tasks(a, by_task)) for id, a in answers.items()}
    return Comparison(
        title=TITLE,
        summary=summary(answers),
        contenders=(contender(TRAIN, answers), contender(SECURE, answers)),
        bottom_line=bottom_line(answers),
        answers=tuple(answers.values()),
        tables=(),
        figures=figures(results, picks),
        galleries=gallery(results),
        seconds=seconds_table(runs, elapsed, reused),
        notes=NOTES,
        origin=origin(runs, command),
        runs=runs,
        evidence=tuple(run_list(task, by_task[task]) for task in DEFAULT if task in by_task),
    )


def asked(answers: dict[str, Answer]) -> dict[str, Answer]:
    """Without the controls that the default comparison has no runs for."""
    return {id: a for id, a in answers.items() if a.answer != NOT_RUN or id in CLAIMS}


def _tasks(answer: Answer, by_task: Mapping[str, object]) -> list[str]:
    about = DEFAULT[0] if purpose_of(answer) == TRAIN else DEFAULT[1]
    return [about] if about in by_task else []


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


def command_of(
    tasks: Sequence[object] | None,
    seeds: int,
    minutes: float | None,
    between: str = DEFAULT_PAIR,
    *,
    every: bool = False,
    long: bool = False,
) -> str:
    """What runs it again; an object is called by its name, whatever file it is in."""
    named = [task if isinstance(task, str) else getattr(task, "name", "") for task in tasks or ()]
    words = ["gradwarden", "compare", *named]
    words += ["--long"] if long else ["--all"] if every else []
    words += ["--between", shlex.quote(between)] if between != DEFAULT_PAIR else []
    words += ["--seeds", str(seeds)] if seeds != SEEDS else []
    return " ".join(words + (["--budget", f"{minutes:g}"] if minutes is not None else []))
