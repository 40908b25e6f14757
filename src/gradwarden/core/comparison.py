"""A comparison page as plain data: claims, what the runs say of them, and the runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gradwarden.core.display import Figure, Gallery, Table
from gradwarden.core.estimate import Estimate
from gradwarden.core.records import SCHEMA, Origin


@dataclass(frozen=True, kw_only=True)
class Run:
    """One finished run of the comparison, as stored."""

    task: str
    arm: str
    seed: int
    config: dict[str, Any]  # all that determines the run
    sources: dict[str, str]  # file of ours -> hash
    seconds: float
    result: dict[str, Any]
    schema: int = SCHEMA


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A claim and what the runs say of it."""

    id: str  # "C1"
    claim: str  # the sentence under test
    answer: str  # "supported", "refuted", "open" or "not run"
    says: str  # one sentence with the figures
    how: str  # what was measured, the null and the smallest effect that counts
    effect: Estimate | None
    null: float
    smallest: float
    unit: str  # of the effect, for example "points" or "log ratio"
    about: str  # "clipping" or "masking": which contender the claim speaks of
    counts: bool = True  # False: supported by itself, but not without the claims it depends on
    parts: tuple[Answer, ...] = ()
    table: Table | None = None
    figures: tuple[str, ...] = ()  # ids
    command: str = ""
    runs: tuple[str, ...] = ()  # ids of the lists of runs (`RunList`) that it rests on
    subject: str = ""  # of a part: what of the claim it is about, for example the name of a mask
    scale: str = "mean"  # how several are pooled: as means, or a "share" by its log odds


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What the runs of one task say of one claim."""

    claim: str  # "C1"
    answer: str  # as in `Answer`; "" where the claim is not about this task
    text: str = ""  # the effect in a few words: "12 points [3, 20]"
    says: str = ""  # one sentence; where it was not run, why
    evidence: str = ""  # id of the answer, or the part of one, that holds the evidence


@dataclass(frozen=True, kw_only=True)
class Line:
    """One task of the matrix."""

    task: str
    field: str  # "LSTM, NLP", "fraud", ...
    cells: tuple[Cell, ...]  # one a claim of the matrix


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """Tasks by claims; the last line may pool all tasks, with `task` "all tasks" and no field."""

    claims: tuple[str, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True, kw_only=True)
class RunList:
    """A list of runs that answers rest on: one line a run, with its arm, seed and outcome."""

    id: str
    table: Table


@dataclass(frozen=True, kw_only=True)
class Point:
    """One pro or con, and the claims that it rests on."""

    text: str
    claims: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Contender:
    name: str
    what: str  # one sentence
    pros: tuple[Point, ...]
    cons: tuple[Point, ...]
    use_if: tuple[Point, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The whole comparison page as a record."""

    title: str
    summary: tuple[Point, ...]  # the sentences that answer
    contenders: tuple[Contender, ...]
    bottom_line: tuple[Point, ...]
    answers: tuple[Answer, ...]
    tables: tuple[Table, ...]
    figures: tuple[Figure, ...]
    galleries: tuple[Gallery, ...]
    seconds: Table  # where the time went
    notes: tuple[str, ...]  # limits, and what was not run
    origin: Origin
    schema: int = SCHEMA
    runs: tuple[Run, ...] = field(default=())
    matrix: Matrix | None = None  # where several tasks were run
    evidence: tuple[RunList, ...] = ()
