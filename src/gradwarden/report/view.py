"""A comparison as its template needs it: anchors, links between sentences and claims, figures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gradwarden.core.comparison import Answer, Comparison, Point
from gradwarden.core.display import Gallery, Table
from gradwarden.report import answers, bars, figures
from gradwarden.report.anchors import Anchors
from gradwarden.report.figures import Drawn


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An answer with its place on the page; `level` is that of its heading."""

    answer: Answer
    anchor: str
    level: int
    bar: bars.Bar | None
    figures: tuple[Drawn, ...]  # shown here, because here they are named first
    shown_above: tuple[Drawn, ...]
    galleries: tuple[Gallery, ...]
    parts: tuple[Claim, ...]


@dataclass(frozen=True, kw_only=True)
class Ref:
    """A link from a sentence to a claim; `anchor` is "" where the page has no such claim."""

    id: str
    anchor: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A list of runs; `anchor` is "" where the record has no such list, only its id."""

    title: str
    anchor: str
    table: Table | None
    answers: tuple[str, ...]  # ids of those that rest on it


@dataclass(frozen=True, kw_only=True)
class Page:
    record: Comparison
    claims: tuple[Claim, ...]
    figures: tuple[Drawn, ...]  # those that no claim names
    galleries: tuple[Gallery, ...]
    refs: dict[str, Ref]
    grid: answers.Grid | None
    reasons: tuple[str, ...]  # anchors, one a reason of the grid
    runs: dict[str, Listed]

    def ref(self, id: str) -> Ref:
        return self.refs.get(id, Ref(id=id, anchor="", answer=""))

    def refs_of(self, point: Point) -> list[Ref]:
        return [self.ref(id) for id in point.claims]

    def runs_of(self, answer: Answer) -> list[Listed]:
        def lone(id: str) -> Listed:
            return Listed(title=id, anchor="", table=None, answers=())

        return [self.runs.get(id) or lone(id) for id in answer.runs]


def page(record: Comparison) -> Page:
    anchors = Anchors()
    order = figures.colours(record.figures)
    drawn = {f.id: figures.draw(f, anchors.new("figure", f.id), order) for f in record.figures}
    shelf = _Shelf(drawn, {g.id: g for g in record.galleries})
    claims = tuple(_claim(a, 3, anchors, shelf) for a in record.answers)
    refs: dict[str, Ref] = {}
    for claim in _flat(claims):
        a = claim.answer
        refs.setdefault(a.id, Ref(id=a.id, anchor=claim.anchor, answer=a.answer))
    grid = answers.grid(record)
    return Page(
        record=record,
        claims=claims,
        figures=tuple(d for d in drawn.values() if d.figure.id not in shelf.shown),
        galleries=tuple(g for g in record.galleries if g.id not in shelf.shown),
        refs=refs,
        grid=grid,
        reasons=tuple(anchors.new("reason") for _ in (grid.reasons if grid else ())),
        runs=_runs(record, anchors),
    )


class _Shelf:
    """Figures and galleries by id; each is shown where it is named first."""

    def __init__(self, drawn: dict[str, Drawn], galleries: dict[str, Gallery]) -> None:
        self.drawn, self.galleries = drawn, galleries
        self.shown: set[str] = set()

    def take(self, ids: Iterable[str]) -> tuple[list[Drawn], list[Drawn], list[Gallery]]:
        """Figures to show, figures shown before, galleries to show."""
        first: list[Drawn] = []
        again: list[Drawn] = []
        pictures: list[Gallery] = []
        for id in ids:
            if id in self.drawn:
                (again if id in self.shown else first).append(self.drawn[id])
            elif id in self.galleries and id not in self.shown:
                pictures.append(self.galleries[id])
            self.shown.add(id)
        return first, again, pictures


def _claim(answer: Answer, level: int, anchors: Anchors, shelf: _Shelf) -> Claim:
    anchor = anchors.new("claim", answer.id)
    first, again, pictures = shelf.take(answer.figures)
    bar = None
    if answer.effect is not None:
        bar = bars.around(answer.effect, null=answer.null, smallest=answer.smallest)
    return Claim(
        answer=answer,
        anchor=anchor,
        level=min(level, 6),
        bar=bar,
        figures=tuple(first),
        shown_above=tuple(again),
        galleries=tuple(pictures),
        parts=tuple(_claim(part, level + 1, anchors, shelf) for part in answer.parts),
    )


def _runs(record: Comparison, anchors: Anchors) -> dict[str, Listed]:
    """The lists of runs by id, in the record's order."""
    resting: dict[str, list[str]] = {}
    for answer in answers.flat(record.answers):
        for id in answer.runs:
            resting.setdefault(id, []).append(answer.id)
    return {
        runs.id: Listed(
            title=runs.table.title,
            anchor=anchors.new("runs", runs.id),
            table=runs.table,
            answers=tuple(resting.get(runs.id, ())),
        )
        for runs in record.evidence
    }


def _flat(claims: Iterable[Claim]) -> Iterator[Claim]:
    for claim in claims:
        yield claim
        yield from _flat(claim.parts)
