"""What is worth a line of its own in a run's record, defined in one place.

Levels are medians of log-norms, deviations 1.4826 times their median absolute deviation: both
withstand the very spikes that they are to find. Ordinary noise, log-normal with a deviation of up to
1, raises nothing (a test says so on 160 000 steps).
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from statistics import median

from gradwarden.clip.record import Event, Kind, Row

NORMAL = 1.4826  # deviation of a normal sample / its median absolute deviation
PAST = 128  # steps that say what is ordinary
RECENT = 32  # steps whose median, against that of the PAST before them, is the level now
AGAIN = 16  # steps between two looks at the level: sorting at every step would be felt

# A spike stands SPIKE_DEVIATIONS above the median. The estimate of a deviation from 160 steps is 10 %
# off, so 6 are more than 4 true ones, met once in 10^5 steps of normal noise, and mostly not even
# then. Nobody sees a spike in less than three times the median, however calm the run.
SPIKE_DEVIATIONS = 6.0
SPIKE_TIMES = 3.0
FEW_DEVIATION = 0.5  # the least, until the PAST is whole: early on, only x20 is a spike
LEAST_DEVIATION = 0.1

# The medians of 32 and 128 normal samples differ with a deviation of a quarter of that of a sample:
# 1.5 are six of them. Less than a factor of 2 needs no other threshold.
SHIFT_DEVIATIONS = 1.5
SHIFT_TIMES = 2.0

# Clipped in each of 256 steps: even a rule that clips 95 % does that once in 500 000 steps.
ALWAYS = 256
# A threshold that no norm came near, within a factor of 10, for 1000 steps does nothing. Not being
# clipped is no event as such: a rule for spikes waits for them.
NEVER = 1000
FAR = 10.0

REST = 32  # ordinary steps that end an episode: what goes on is one event, not one a step


class Detector:
    """Sees each row once, in order, and says what happened. Memory is bounded."""

    def __init__(self) -> None:
        self._logs: deque[float] = deque(maxlen=PAST + RECENT)
        self._seen = 0
        self._middle, self._deviation = math.nan, math.nan
        self._calm: dict[Kind, int] = {}  # rows since the last of an episode
        self._clipped = self._far = 0  # rows in a row

    def see(self, row: Row) -> list[Event]:
        return [Event(row.step, kind, why) for kind, why in self._found(row)]

    def _found(self, row: Row) -> Iterator[tuple[Kind, str]]:
        lost = row.loss is not None and not math.isfinite(row.loss)
        if self._begins("non-finite", not row.finite or lost):
            yield "non-finite", _not_finite(row)
        if not row.finite:
            return
        if self._begins("spike", self._is_spike(row.norm)):
            yield "spike", self._about_spike(row)
        yield from self._level(row.norm)
        self._clipped = self._clipped + 1 if row.clipped else 0
        if self._begins("all clipped", self._clipped >= ALWAYS):
            yield "all clipped", _all_clipped(row)
        self._far = self._far + 1 if FAR * row.norm < row.threshold < math.inf else 0
        if self._begins("never clipped", self._far >= NEVER):
            yield "never clipped", _never_clipped(row)

    def _begins(self, kind: Kind, now: bool) -> bool:
        """Whether an episode begins; it ends with `REST` rows without."""
        calm = self._calm.get(kind, REST)
        self._calm[kind] = 0 if now else min(calm + 1, REST)
        return now and calm >= REST

    def _is_spike(self, norm: float) -> bool:
        if len(self._logs) < RECENT or norm <= 0.0:
            return False
        least = FEW_DEVIATION if len(self._logs) < PAST else LEAST_DEVIATION
        height = max(SPIKE_DEVIATIONS * max(self._deviation, least), math.log(SPIKE_TIMES))
        return math.log(norm) > self._middle + height

    def _about_spike(self, row: Row) -> str:
        usual = math.exp(self._middle)
        held = f"; {row.worst[0]} holds {row.worst[1]:.0%} of its square" if row.worst else ""
        return f"norm {row.norm:.3g} is {row.norm / usual:.3g} times the median {usual:.3g}{held}"

    def _level(self, norm: float) -> Iterator[tuple[Kind, str]]:
        """Takes the norm in; every `AGAIN` norms asks whether the level is still the same."""
        if norm <= 0.0:
            return  # says nothing about the level
        self._logs.append(math.log(norm))
        self._seen += 1
        if self._seen % AGAIN:
            return
        logs = list(self._logs)
        if len(logs) == PAST + RECENT:
            before, deviation = _spread(logs[:PAST])
            now = median(logs[PAST:])
            if abs(now - before) > max(SHIFT_DEVIATIONS * deviation, math.log(SHIFT_TIMES)):
                a, b = math.exp(before), math.exp(now)
                yield (
                    "level shift",
                    f"the median norm went from {a:.3g} to {b:.3g}, times {b / a:.3g}",
                )
                logs = logs[PAST:]
                self._logs = deque(logs, maxlen=PAST + RECENT)
        self._middle, self._deviation = _spread(logs)


def _spread(logs: list[float]) -> tuple[float, float]:
    """Median and deviation."""
    middle = median(logs)
    return middle, NORMAL * median(abs(x - middle) for x in logs)


def _not_finite(row: Row) -> str:
    if row.finite:
        return f"the loss is {row.loss}, though the gradient is finite"
    done = ", the step was not taken" if row.coefficient == 0.0 else ""
    names = ", ".join(row.culprits[:5])
    more = f" and {len(row.culprits) - 5} more" if len(row.culprits) > 5 else ""
    return f"the gradient is not finite in {names or 'its norm'}{more}{done}"


def _all_clipped(row: Row) -> str:
    return (
        f"each of {ALWAYS} steps was clipped, this one by {row.coefficient:.3g}: the threshold "
        f"{row.threshold:.3g} sets the length of every step"
    )


def _never_clipped(row: Row) -> str:
    return (
        f"for {NEVER} steps no norm came within a factor of {FAR:g} of the threshold "
        f"{row.threshold:.3g}: it does nothing"
    )
