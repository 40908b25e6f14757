"""A part of a plan: runs that are made together or not at all, and what they are for."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from gradwarden.compare.job import Job
from gradwarden.compare.results import Results

Jobs = Callable[[Results], tuple[Job, ...]]


class Stage(NamedTuple):
    """`jobs` are known only once the stages before have been run; `number` says how many, about."""

    what: str  # "no defence, a mask, adversarial training"
    rank: int  # the stages of a lower rank come first, over all tasks
    number: int
    expected: float  # seconds on one core, of all of them
    jobs: Jobs  # from what has been found so far
    kind: str  # of the jobs, the name of their class
    claims: tuple[str, ...] = ()  # that cannot be answered without it; none where others do as well


def several(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
