"""What our functions return and the report shows: plain frozen records, readable without torch.

A record is written by `to_json` and read back by `from_json`; both keep every field. Numbers that
JSON has no word for (NaN, infinity) are written as the strings "nan", "inf" and "-inf". In a field
of type `Any` those three strings are read back as numbers, and a tuple as a list.
"""

from __future__ import annotations

import json
import math
import types
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, TypeVar

from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, proportion

SCHEMA = 1
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a record came from."""

    version: str
    command: str  # reproduces the record
    environment: dict[str, str]
    sources: dict[str, str]  # file of ours -> hash
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One diagnostic's observation about one module of a model."""

    check: str  # name of the diagnostic
    module: str | None  # dotted path inside the model; None: the model as a whole
    value: float
    threshold: float
    share: float  # of samples, in [0, 1]
    why: str  # one sentence of meaning
    remedy: str  # what the audit did about it, or the user can


@dataclass(frozen=True, kw_only=True)
class Broken:
    """How one sample fell."""

    attack: str
    restart: int
    forwards: int  # passes spent on this sample up to its fall
    backwards: int


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One attack of a cascade, over all samples that stood before it."""

    attack: str
    tried: int
    broken: int
    forwards: int  # sample passes of the attack itself, without the referee's
    backwards: int
    seconds: float  # at work, the referee's included; summed over processes


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """Who broke which sample; one entry a sample in each tuple, or none where it was not measured.

    A stochastic model is asked `draws` times at each point, and `accuracy` goes by the majority.
    """

    ids: tuple[int, ...]
    clean: tuple[bool, ...]  # right without any attack
    broken: tuple[Broken | None, ...]  # None: no attack broke it; wrong from the start has 0 passes
    attacks: tuple[str, ...]  # repr of each attack, in the order run
    forwards: int  # sample passes in all
    backwards: int
    seconds: float
    stages: tuple[Stage, ...] = ()
    infeasible: tuple[bool, ...] = ()  # a point reached the goal that the constraints forbid
    claimed: tuple[bool, ...] = ()  # wrong, or an allowed point reached the goal in some attack
    lost: tuple[float, ...] = ()  # largest share of fresh draws lost at a point the referee judged
    draws: int = 1
    double: tuple[bool, ...] = ()  # lost in float64 too, at the same point
    double_note: str = "not run"  # "", or "not run: why"
    findings: tuple[Finding, ...] = ()
    notes: tuple[str, ...] = ()  # what was left out or went otherwise, one sentence each
    model: str = ""
    threat: str = ""
    origin: Origin | None = None
    schema: int = SCHEMA

    @property
    def accuracy(self) -> Estimate:
        """Share right after every attack: an upper bound on robust accuracy."""
        return _share([b is None for b in self.broken])

    @property
    def clean_accuracy(self) -> Estimate:
        return _share(self.clean)

    @property
    def accuracy_while_optimising(self) -> Estimate:
        """As `accuracy`, where one success during a search is enough, lucky draws included."""
        return _share([not c for c in self.claimed]) if self.claimed else self.accuracy

    @property
    def accuracy_over_draws(self) -> Estimate:
        """Expected accuracy of one fresh draw of the model; the interval is that over samples."""
        if self.draws == 1 or not self.lost:
            return self.accuracy
        value = math.fsum(1.0 - share for share in self.lost) / len(self.lost)
        # A share varies no more than a coin of the same mean, so the coin's interval is wide enough.
        n = len(self.lost)
        low = proportion(math.floor(value * n), n).low
        high = proportion(math.ceil(value * n), n).high
        return Estimate(value=value, low=min(low, value), high=max(high, value), n=n)

    @property
    def accuracy_in_double(self) -> Estimate | None:
        """As `accuracy`, each final point judged in float64; None where that was not run."""
        return _share([not lost for lost in self.double]) if self.double else None

    @property
    def infeasible_rate(self) -> Estimate:
        """Share of samples that stand, though points that the constraints forbid reached the goal."""
        pairs = zip(self.broken, self.infeasible or (False,) * len(self.broken), strict=True)
        return _share([b is None and forbidden for b, forbidden in pairs])


def _share(which: Sequence[bool]) -> Estimate:
    return proportion(sum(which), len(which))


@dataclass(frozen=True, kw_only=True)
class Witness:
    """A sample that a stored adversarial example breaks, re-checked by the referee."""

    sample: int
    label: int
    predicted: int
    attack: str
    size: float  # of the perturbation, in the ball's norm


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The audit's record."""

    model: str
    threat: str
    verdict: str  # "masked", "overstated", "inconclusive", "consistent" or "certified"
    reasons: tuple[str, ...]
    clean: Estimate
    noise: Estimate
    naive: Estimate
    adaptive: Estimate
    certified: Estimate | None
    claim: float | None
    p_value: float  # exact McNemar, naive against adaptive on the same samples
    findings: tuple[Finding, ...]
    patches: tuple[str, ...]  # what the adaptive attack replaced, and by what
    naive_ledger: Ledger
    adaptive_ledger: Ledger
    witnesses: tuple[Witness, ...]
    gates_not_run: tuple[str, ...]
    origin: Origin
    schema: int = SCHEMA


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
class Row:
    """One line of a table; `cells` are texts, the first one names the line."""

    cells: tuple[str, ...]
    pick: bool = False  # one of the two contenders, shown in bold


@dataclass(frozen=True, kw_only=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a figure. `low` and `high`, where given, draw a band."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    dashed: bool = False
    markers: bool = True
    group: str = ""  # series of one group share a colour


@dataclass(frozen=True, kw_only=True)
class Figure:
    id: str
    title: str
    x_title: str
    y_title: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    percent_y: bool = False  # y in [0, 1], shown as percent
    says: str = ""  # what it shows, one sentence, for those who cannot see it too
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    caption: str
    png: str  # base64
    pixels: int  # edge length at which it is drawn


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures in rows, for example adversarial images beside their originals."""

    id: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Picture, ...], ...]
    says: str = ""
    command: str = ""


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


def to_json(record: object) -> str:
    """Any record here as JSON text, keys in field order, indented, newline at the end."""
    return json.dumps(plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: object) -> Any:
    """The same value in dicts, lists, strings and numbers that JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a record holds plain values only, got {type(value).__name__}: {value!r}")


def from_json(text: str, kind: type[R]) -> R:
    """The record of type `kind` that `to_json` wrote. Raises BadInput where it is not one."""
    try:
        raw = json.loads(text)
        if isinstance(raw, dict) and raw.get("schema", SCHEMA) != SCHEMA:
            raise BadInput(f"expected schema {SCHEMA}, got {raw['schema']}: another version's file")
        return typing.cast(R, _build(raw, kind))
    except (KeyError, TypeError, ValueError, AttributeError) as why:
        if isinstance(why, BadInput):
            raise
        raise BadInput(f"this is no {kind.__name__} record: {why}") from why


def _build(raw: Any, kind: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        unknown = raw.keys() - hints.keys()
        if unknown:
            raise BadInput(f"this is no {kind.__name__} record: unknown field {min(unknown)!r}")
        return kind(**{name: _build(v, hints[name]) for name, v in raw.items()})
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        some = [a for a in args if a is not type(None)]
        return None if raw is None else _build(raw, some[0])
    if origin is tuple and not isinstance(raw, list):
        raise TypeError(f"expected a list, got {raw!r}")
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_build(v, args[0]) for v in raw)
        return tuple(_build(v, a) for v, a in zip(raw, args, strict=True))
    if origin is dict:
        return {k: _build(v, args[1]) for k, v in raw.items()}
    if kind is Any:
        return _free(raw)
    if kind is float:
        return float(raw)
    if kind in (int, str, bool) and type(raw) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {raw!r}")
    return raw


def _free(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {k: _free(v) for k, v in raw.items()}
    if isinstance(raw, list):
        return [_free(v) for v in raw]
    return float(raw) if raw in ("nan", "inf", "-inf") else raw
