"""An audit as its template needs it: the chain of modules, the fall of accuracy, who was fooled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from gradwarden.core.display import Row, Table
from gradwarden.core.estimate import Estimate
from gradwarden.core.examination import Examination, Indicator, Removed
from gradwarden.core.ledger_record import Ledger
from gradwarden.report import chain, figures, numbers
from gradwarden.report.anchors import Anchors
from gradwarden.report.chain import Stretch
from gradwarden.report.figures import Drawn

TONES = {"masked": "is-no", "overstated": "is-no", "consistent": "is-yes", "certified": "is-yes"}
HIDDEN, SOUND = ("masked",), ("consistent", "certified")


@dataclass(frozen=True, kw_only=True)
class Fall:
    """A line of the waterfall; `left` and `taken` in percent of the bar."""

    removed: Removed
    left: float
    taken: float


@dataclass(frozen=True, kw_only=True)
class Sign:
    """An indicator with what the verdict says of it: "yes", "fooled", "false alarm" or ""."""

    indicator: Indicator
    right: str


@dataclass(frozen=True, kw_only=True)
class Page:
    record: Examination
    tone: str
    chain: tuple[Stretch, ...]
    chain_says: str
    falls: tuple[Fall, ...]
    figures: tuple[Drawn, ...]
    gates_say: str
    anchors: dict[str, str]  # module -> its first place in the chain
    signs: tuple[Sign, ...]
    signs_say: str
    judged: Table | None
    limits: tuple[str, ...]


def page(record: Examination) -> Page:
    anchors = Anchors()
    order = figures.colours(record.figures)
    nodes = tuple(chain.node(link, anchors) for link in record.chain)
    places = {node.link.module: node.anchor for node in reversed(nodes)}
    signs = tuple(Sign(indicator=i, right=right(i, record.verdict)) for i in record.indicators)
    return Page(
        record=record,
        tone=TONES.get(record.verdict, "is-open"),
        chain=tuple(chain.stretches(nodes)),
        chain_says=chain.says(nodes),
        falls=tuple(map(_fall, record.removed)),
        figures=tuple(figures.draw(f, anchors.new("figure", f.id), order) for f in record.figures),
        gates_say=_gates_say(record),
        anchors=places,
        signs=signs,
        signs_say=_signs_say(signs, record.verdict),
        judged=judged(record),
        limits=_limits(record),
    )


def _limits(record: Examination) -> tuple[str, ...]:
    """The notes of the audit and of its two cascades, each said once."""
    said = list(record.notes)
    for ledger in (record.naive_ledger, record.adaptive_ledger):
        said += ledger.notes
        said += [f"{f.why} {f.remedy}" for f in ledger.findings if f not in record.findings]
    return tuple(dict.fromkeys(said))


# ---- decomposition, gates ----


def _fall(removed: Removed) -> Fall:
    return Fall(
        removed=removed,
        left=round(100 * removed.accuracy.value, 2),
        taken=round(100 * removed.points, 2),
    )


def _gates_say(record: Examination) -> str:
    states = [gate.state for gate in record.gates]
    counts = [(states.count(state), state) for state in ("green", "red", "not run")]
    return ", ".join(f"{count} {state}" for count, state in counts if count)


# ---- indicators ----


def right(indicator: Indicator, verdict: str) -> str:
    """ "yes", "fooled" or "false alarm"; "" where it was not run or the verdict settles neither."""
    if indicator.value is None or verdict not in HIDDEN + SOUND:
        return ""
    if indicator.flags == (verdict in HIDDEN):
        return "yes"
    return "false alarm" if indicator.flags else "fooled"


def _signs_say(signs: tuple[Sign, ...], verdict: str) -> str:
    run = [sign for sign in signs if sign.indicator.value is not None]
    wrong = sum(sign.right in ("fooled", "false alarm") for sign in run)
    flags = sum(sign.indicator.flags for sign in run)
    says = f"{len(run)} of {len(signs)} were run"
    if verdict in HIDDEN:
        return f"{says}: {flags} of them see the hidden gradient, {wrong} would have been fooled."
    if verdict in SOUND:
        return f"{says}: {len(run) - wrong} of them are quiet, {wrong} would have raised a false alarm."
    return f"{says}: {flags} of them flag; this verdict does not settle which of them are right."


# ---- the same attacks, judged in other ways ----


def judged(record: Examination) -> Table | None:
    """Success columns of models that draw, float64, and what only the constraints hold off."""
    ledgers = (record.naive_ledger, record.adaptive_ledger)
    draws = record.adaptive_ledger.draws
    constrained = any(any(ledger.infeasible) for ledger in ledgers)
    ways: list[tuple[str, Callable[[Ledger], Estimate | None]]] = []
    if draws > 1:
        ways.append((f"majority of {draws} draws", lambda ledger: ledger.accuracy))
        ways.append(("one fresh draw", lambda ledger: ledger.accuracy_over_draws))
        ways.append(("while optimising", lambda ledger: ledger.accuracy_while_optimising))
    if any(ledger.double for ledger in ledgers):
        ways.append(("in float64", lambda ledger: ledger.accuracy_in_double))
    if constrained:
        ways.append(("saved by constraints alone", lambda ledger: ledger.infeasible_rate))
    if not ways:
        return None
    return Table(
        title="The same attacks, judged in other ways",
        columns=("Accuracy", "Naive attack", "Adaptive attack"),
        rows=tuple(Row(cells=(name, *(_said(way(x), x) for x in ledgers))) for name, way in ways),
        note=_judged_note(draws > 1, constrained),
    )


def _said(estimate: Estimate | None, ledger: Ledger) -> str:
    return ledger.double_note if estimate is None else numbers.accuracy(estimate)


def _judged_note(drawn: bool, constrained: bool) -> str:
    says = []
    if drawn:
        says.append(
            "The model draws at random: the verdict goes by the majority; while optimising, one "
            "lucky draw is a success."
        )
    if constrained:
        says.append(
            "Saved by constraints alone: samples that stand, though a point that the constraints "
            "forbid reached the goal."
        )
    return " ".join(says)
