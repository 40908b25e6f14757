"""One answer to each claim from the answers of several tasks: their mean.

The method stands in `pooling`; tasks of which a claim was not run are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gradwarden.compare.claims.words import overall, shown
from gradwarden.compare.pooling import pooled_mean, pooled_share
from gradwarden.compare.sentences import NOT_RUN, OPEN, REFUTED, SUPPORTED
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate, answer

HOW = (
    "The mean over the tasks, each counting the same, with Student's t over the tasks and an interval "
    "not narrower than theirs amount to. On each task: "
)
TWO = "On each of the two tasks by itself; the claim holds where it holds on both. On each: "


def pooled(
    names: Sequence[str], each: Sequence[Mapping[str, Answer]], general: Mapping[str, Answer]
) -> dict[str, Answer]:
    """By claim, over all tasks that it was put to the test on; the tasks are parts.

    `general` has every claim in words that no task is particular to, as not run.
    """
    made: dict[str, Answer] = {}
    for id in general:
        found = [
            (name, _figured(answers[id], name) if len(names) > 1 else answers[id])
            for name, answers in zip(names, each, strict=True)
            if id in answers and answers[id].answer != NOT_RUN
        ]
        if not found:
            others = [answers[id] for answers in each if id in answers]
            made[id] = others[0] if len(others) == 1 else general[id]
        elif len(found) == 1:
            made[id] = _alone(*found[0], len(names))
        else:
            made[id] = _whole(id, found, general[id].claim)
    return made


def _alone(name: str, answer: Answer, tasks: int) -> Answer:
    """Of a claim that one task alone was asked, or had the time for."""
    return replace(
        answer, runs=(name,), says=f"{name}: {answer.says}" if tasks > 1 else answer.says
    )


def part_id(id: str, task: str) -> str:
    """Of a task's answer to the claim `id`, on a page with several tasks."""
    return f"{id}, {task}"


def _whole(id: str, found: Sequence[tuple[str, Answer]], claim: str) -> Answer:
    """Two tasks are too few for a mean over tasks: the claim then holds where it holds on both."""
    answers, two = [a for _, a in found], len(found) == 2
    subjects = [] if two else _subjects(id, answers)
    settled = answers if two else subjects or [_merged(answers)]
    parts = tuple(replace(a, id=part_id(id, name), runs=(name,)) for name, a in found)
    effects = [f"{s.subject} {shown(s)}".strip() for s in settled if shown(s)]
    by_task = "; ".join(f"{name}: {shown(a) or a.answer}" for name, a in found)
    one = settled[0] if len(settled) == 1 and settled[0].effect is not None else None
    return replace(
        answers[0],
        id=id,
        claim=claim,
        answer=overall(settled),
        says=f"By task: {by_task}."
        if two
        else f"Over {len(found)} tasks: {'; '.join(effects) or 'nothing to pool'}; {_counts(answers)}.",
        how=(TWO if two else HOW) + answers[0].how,
        effect=one.effect if one else None,
        smallest=one.smallest if one else 0.0,
        counts=all(a.counts for a in answers),
        parts=(*(subjects if len(subjects) > 1 else ()), *parts),
        table=None,
        figures=(),
        runs=tuple(name for name, _ in found),
    )


def _subjects(id: str, answers: Sequence[Answer]) -> list[Answer]:
    """One for each subject that the answers have parts on, or are about themselves, pooled."""
    groups: dict[str, list[Answer]] = {}
    for one in answers:
        for part in one.parts or ((one,) if one.subject else ()):
            if part.effect is not None and part.subject:
                groups.setdefault(part.subject, []).append(part)
    return [
        replace(_merged(parts), id=f"{id}.{n}", claim=f"{subject}, over all tasks.")
        for n, (subject, parts) in enumerate(groups.items(), 1)
    ]


def _merged(answers: Sequence[Answer]) -> Answer:
    """One effect and answer from several on the same thing; open where there is no effect."""
    first = answers[0]
    effects = [a.effect for a in answers if a.effect is not None]
    if not effects:
        return replace(first, answer=OPEN, effect=None)
    effect: Estimate = (pooled_share if first.scale == "share" else pooled_mean)(effects)
    smallest = max(a.smallest for a in answers)
    merged = replace(
        first,
        answer=answer(effect, null=first.null, smallest=smallest),
        effect=effect,
        smallest=smallest,
        how=HOW + first.how,
        table=None,
        figures=(),
    )
    return replace(merged, says=f"{first.subject}: {shown(merged)} over {len(effects)} estimates.")


def _counts(answers: Sequence[Answer]) -> str:
    said = [a.answer for a in answers]
    return ", ".join(f"{kind} on {said.count(kind)}" for kind in (SUPPORTED, REFUTED, OPEN))


def _figured(answer: Answer, name: str) -> Answer:
    return replace(
        answer,
        figures=tuple(prefix(name, id) for id in answer.figures),
        parts=tuple(_figured(part, name) for part in answer.parts),
    )


def commanded(answer: Answer, command: str) -> Answer:
    parts = tuple(commanded(part, command) for part in answer.parts)
    return replace(answer, command=command, parts=parts)


def prefix(name: str, id: str) -> str:
    """Id of a figure of the task `name`, on a page with several."""
    return f"{name}-{id}"
