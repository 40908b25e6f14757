"""One answer to each claim from the answers of several tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gradwarden.compare.claims.words import from_parts
from gradwarden.compare.verdict import NOT_RUN
from gradwarden.core.comparison import Answer


def pooled(names: Sequence[str], each: Sequence[Mapping[str, Answer]]) -> dict[str, Answer]:
    """Each claim over all tasks that it was put to the test on; it holds where it holds on each."""
    pooled: dict[str, Answer] = {}
    prefixed = len(names) > 1
    for id in each[0]:
        found = [
            (name, _figured(answers[id], name) if prefixed else answers[id])
            for name, answers in zip(names, each, strict=True)
            if answers[id].answer != NOT_RUN
        ]
        if len(found) < 2:
            pooled[id] = found[0][1] if found else each[0][id]
            continue
        parts = tuple(
            replace(a, id=f"{id}, {name}", claim=f"{name}: {a.claim}") for name, a in found
        )
        first = found[0][1]
        whole = from_parts(
            id=id,
            claim=first.claim,
            about=first.about,
            says=" ".join(f"{name}: {answer.says}" for name, answer in found),
            how="On each task by itself; the claim holds where it holds on every one.",
            parts=parts,
        )
        pooled[id] = replace(whole, counts=all(part.counts for part in parts))
    return pooled


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
