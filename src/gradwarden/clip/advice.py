"""What a run's record says about its clipping: a threshold, the learning rate, whether it matters.

Source: our own. That clipping every step is normalised descent: Zhang et al. 2020, arXiv:1905.11881,
sec. 2; that it can be the best setting is seen in sweeps of the threshold, so it is no fault here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Literal

from gradwarden.clip.events import LEAST_DEVIATION, NORMAL, Detector
from gradwarden.clip.record import Event, Record, Row
from gradwarden.core.errors import BadInput

LEAST = 32  # finite steps, for a median and a deviation that mean something
LATE = 1000  # the last steps, from which a threshold comes: norms of the start are long past
K = 2.75  # deviations above the median, as in the rule Adaptive: fewer than 1 % of ordinary norms
NORMALISES = 0.5  # share of clipped steps above which the threshold sets the length of most steps
TRIMS = 0.05  # share above which ordinary steps are clipped, not spikes alone
DRIFT = 2.0  # ratio of two medians above which a fixed threshold is soon wrong
AFTERMATH = 8  # steps in which a step that was too long shows as a loss

# They divide the gradient by its own running size: a coefficient that is always the same cancels.
SCALE_FREE = frozenset(
    {"Adam", "AdamW", "NAdam", "RAdam", "Adamax", "SparseAdam", "Adafactor", "Muon"}
    | {"Adagrad", "Adadelta", "RMSprop", "Rprop"}
)

Role = Literal["idle", "guard", "trim", "normaliser"]


@dataclass(frozen=True, kw_only=True)
class Advice:
    """Plain values; each comes with a sentence that says why."""

    rule: str
    optimizer: str
    steps: int  # looked at
    clipped: float  # share of the steps
    skipped: float  # share of the steps
    norm: float  # the median
    role: Role  # of clipping in this run
    role_why: str
    threshold: float  # suggested, in units of the norm
    threshold_why: str
    rate: float  # mean of norm after / norm before: what clipping makes of the learning rate
    rate_why: str
    head_room: float | None  # factor for the learning rate; None where norms do not tell
    head_room_why: str
    events: tuple[Event, ...]


def advise(record: Record) -> Advice:
    """Raises BadInput where fewer than 32 steps had a finite gradient."""
    rows = record.rows
    if sum(r.finite and r.norm > 0.0 for r in rows) < LEAST:
        raise BadInput(
            f"advice needs {LEAST} steps with a finite gradient, got "
            f"{sum(r.finite for r in rows)} of {len(rows)} steps"
        )
    detector = Detector()
    events = tuple(event for row in rows for event in detector.see(row))
    clipped = sum(r.clipped for r in rows) / len(rows)
    role, role_why = _role(clipped, events)
    rate = fmean(_kept(r) for r in rows if r.finite and not r.skipped and r.norm > 0.0)
    threshold, threshold_why = _threshold(rows, role, rate, events)
    head_room, head_room_why = _head_room(rows, threshold, record.optimizer)
    return Advice(
        rule=record.rule,
        optimizer=record.optimizer,
        steps=len(rows),
        clipped=clipped,
        skipped=sum(r.skipped for r in rows) / len(rows),
        norm=median(r.norm for r in rows if r.finite),
        role=role,
        role_why=role_why,
        threshold=threshold,
        threshold_why=threshold_why,
        rate=rate,
        rate_why=_rate_why(rate, record.optimizer),
        head_room=head_room,
        head_room_why=head_room_why,
        events=events,
    )


def _role(clipped: float, events: Sequence[Event]) -> tuple[Role, str]:
    if clipped >= NORMALISES:
        return "normaliser", (
            f"{clipped:.0%} of the steps are clipped: this is normalised descent, where the "
            "threshold is a part of the learning rate. That can be right, even at 100 %"
        )
    accidents = [e for e in events if e.kind in ("spike", "non-finite")]
    if accidents:
        return "guard", (
            f"clipping matters here: {_times(len(accidents), 'time')} a gradient stood out or was "
            f"not finite, first at step {accidents[0].step}"
        )
    if clipped >= TRIMS:
        return "trim", (
            f"{clipped:.0%} of the steps are clipped, though none of them stood out: ordinary "
            "steps are made shorter"
        )
    return "idle", (
        "no gradient stood out and hardly a step was clipped: so far, clipping does not matter "
        "here. It costs little, and spikes often come late"
    )


def _threshold(
    rows: Sequence[Row], role: Role, rate: float, events: Sequence[Event]
) -> tuple[float, str]:
    shift = max((e.step for e in events if e.kind == "level shift"), default=-1)
    late = [r for r in rows if r.finite and r.norm > 0.0][-LATE:]
    since = [r for r in late if r.step > shift]
    norms = [r.norm for r in (since if len(since) >= LEAST else late)]
    edge, middle = _edge(norms), median(norms)
    now = rows[-1].threshold if rows[-1].finite else late[-1].threshold
    if role == "normaliser" and math.isfinite(now):
        return now, (
            f"it stays: each step has this length times the learning rate. To see whether "
            f"normalising helps, try {edge:.3g} with {rate:.2g} times the learning rate, which "
            "makes the mean step as long without it"
        )
    why = (
        f"ordinary norms, around {middle:.3g}, end here ({K:g} deviations above the median): it "
        "clips fewer than 1 % of them, and all that stands out"
    )
    quarter = len(norms) // 4
    first, last = median(norms[:quarter]), median(norms[-quarter:])
    if max(first, last) > DRIFT * min(first, last):
        why += (
            f". But the median went from {first:.3g} to {last:.3g}: a fixed threshold will soon be "
            "wrong, the rule Adaptive() follows"
        )
    return edge, why


def _edge(norms: Sequence[float]) -> float:
    logs = [math.log(n) for n in norms]
    middle = median(logs)
    deviation = NORMAL * median(abs(x - middle) for x in logs)
    return math.exp(middle + K * max(deviation, LEAST_DEVIATION))


def _kept(row: Row) -> float:
    return row.coefficient if math.isnan(row.after) else row.after / row.norm


def _rate_why(rate: float, optimizer: str) -> str:
    if rate > 0.99:
        return "clipping leaves the learning rate as it is"
    if optimizer in SCALE_FREE:
        return (
            f"clipping keeps {rate:.0%} of the mean gradient, but {optimizer} divides by the "
            "gradient's own running size: a steady coefficient cancels, only outliers weigh less"
        )
    return f"the mean step is {rate:.0%} as long as the learning rate says"


def _head_room(rows: Sequence[Row], threshold: float, optimizer: str) -> tuple[float | None, str]:
    """How much larger the rate may be before a step is longer than one that was survived."""
    if optimizer in SCALE_FREE:
        return None, (
            f"norms do not tell: {optimizer} divides the gradient by its own running size, so the "
            "length of a step does not follow from the norm"
        )
    longest, good = 0.0, AFTERMATH
    for row in reversed(rows):
        good = good + 1 if row.finite else 0
        if good > AFTERMATH and not row.skipped:
            longest = max(longest, row.norm * _kept(row))
    room = longest / threshold
    if room <= 1.0:
        return 1.0, f"none that was seen: no step was longer than the threshold {threshold:.3g}"
    return room, (
        f"this run survived a step of norm {longest:.3g}; with the threshold {threshold:.3g} and "
        f"{room:.2g} times the learning rate, no step is longer than that one was"
    )


def _times(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"
