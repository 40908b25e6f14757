"""What answers rest on: every run by task, and the matrix of tasks by claims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gradwarden.compare.claims.words import number, shown
from gradwarden.compare.job import fingerprint
from gradwarden.compare.picks import SECURE, TRAIN
from gradwarden.compare.pooled import part_id
from gradwarden.compare.results import Defended, Grown, Results, Trained
from gradwarden.compare.sentences import NOT_RUN
from gradwarden.compare.subjects import Absent
from gradwarden.core.comparison import Answer, Cell, Line, Matrix, Run, RunList
from gradwarden.core.display import Row, Table

ALL = "all tasks"
COLUMNS = ("arm", "seed", "outcome", "seconds", "file in the store")


def run_list(task: str, runs: Sequence[Run]) -> RunList:
    """All runs of `task`, in the order in which they were planned."""
    rows = tuple(
        Row(
            cells=(
                run.arm,
                str(run.seed),
                outcome(run),
                f"{run.seconds:.1f}",
                f"{fingerprint(run.config)}.*.json",
            )
        )
        for run in runs
    )
    return RunList(id=task, table=Table(title=f"Runs of {task}", columns=COLUMNS, rows=rows))


def outcome(run: Run) -> str:
    """One run in a few words."""
    (found,) = (r for kind in _kinds(Results.of([run])) for r in kind)
    if isinstance(found, Grown):
        return f"log norm grows by {found.slope:.3g} a step or layer"
    if isinstance(found, Defended):
        return f"{_percent(found.clean)} right, {_percent(found.adaptive)} under attack"
    if found.nonfinite_step is not None:
        return f"not finite at step {found.nonfinite_step}"
    test = "none" if found.test is None else number(found.test)
    return f"diverged, test {test}" if found.diverged else f"test {test}"


def _kinds(results: Results) -> tuple[Sequence[Trained | Grown | Defended], ...]:
    return results.trained, results.grown, results.defended


def _percent(bits: str) -> str:
    return f"{100 * bits.count('1') / len(bits):.0f} %"


def resting(answer: Answer, tasks: Sequence[str]) -> Answer:
    """With the lists of runs that it and its parts rest on, where they do not say so: of `tasks`."""
    own = answer.runs or tuple(tasks)
    parts = tuple(resting(part, own) for part in answer.parts)
    return replace(answer, runs=own if answer.answer != NOT_RUN else (), parts=parts)


def matrix(
    tasks: Sequence[tuple[str, str]],
    each: Sequence[Mapping[str, Answer]],
    whole: Mapping[str, Answer],
    absent: Sequence[Absent],
) -> Matrix:
    """`tasks` are names and fields, `each` their answers; a claim that no task is for is left out."""
    claims = [id for id in whole if any(id in answers for answers in each)]
    lines = [
        Line(
            task=name,
            field=field,
            cells=tuple(_cell(id, answers, part_id(id, name), whole) for id in claims),
        )
        for (name, field), answers in zip(tasks, each, strict=True)
    ]
    lines += [
        Line(
            task=one.name,
            field=one.field,
            cells=tuple(_absent(one, whole[id]) for id in claims),
        )
        for one in absent
    ]
    if len(tasks) > 1:
        cells = tuple(_cell(id, whole, id, whole) for id in claims)
        lines.append(Line(task=ALL, field="", cells=cells))
    return Matrix(claims=tuple(claims), lines=tuple(lines))


def purpose_of(answer: Answer) -> str:
    """Of the tasks that a claim can be put to the test on."""
    return TRAIN if answer.about == "clipping" else SECURE


def _absent(one: Absent, answer: Answer) -> Cell:
    asked = purpose_of(answer) == one.purpose
    return Cell(claim=answer.id, answer=NOT_RUN if asked else "", says=one.why if asked else "")


def _cell(id: str, answers: Mapping[str, Answer], part: str, whole: Mapping[str, Answer]) -> Cell:
    """Evidence is the part of the pooled answer, or the whole where no other task has one."""
    if id not in answers:
        return Cell(claim=id, answer="")
    found = answers[id]
    if found.answer == NOT_RUN:
        return Cell(claim=id, answer=NOT_RUN, says=found.says)
    parts = {p.id for p in whole[id].parts}
    evidence = part if part in parts else id
    return Cell(
        claim=id, answer=found.answer, text=shown(found), says=found.says, evidence=evidence
    )
