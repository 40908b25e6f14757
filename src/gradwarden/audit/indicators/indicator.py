"""The shape of a published sign of masked gradients, and what all of them do alike."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar, NamedTuple, Protocol

from gradwarden.attack.memory import out_of_memory
from gradwarden.audit.indicators.tried import NotRunError, Tried
from gradwarden.core.examination import Indicator


class Sign(Protocol):
    """Frozen options, among them `threshold`, and one method that never raises for a model."""

    name: ClassVar[str]
    source: ClassVar[str]

    @property
    def threshold(self) -> float: ...
    def check(self, tried: Tried) -> Indicator: ...


class Said(NamedTuple):
    """What was measured: `says` is one sentence with the figures."""

    value: float
    flags: bool
    says: str
    threshold: float | None = None  # where it depends on the model


def told(sign: Sign, tried: Tried, measure: Callable[[Tried], Said]) -> Indicator:
    """What `measure` says; a model that cannot be measured so is no error, the record says why."""
    said, why = None, "the value is not a number"
    try:
        said = measure(tried)
    except NotRunError as reason:
        why = str(reason)
    except Exception as reason:  # whatever a user's module raises
        if out_of_memory(reason):
            raise
        line = (str(reason).strip().splitlines() or [""])[0].rstrip(".")
        why = f"it raised {type(reason).__name__}: {line}"
    if said is None or math.isnan(said.value):
        said = Said(math.nan, False, f"Not run: {why}.")
    return Indicator(
        name=sign.name,
        source=sign.source,
        value=None if math.isnan(said.value) else said.value,
        threshold=sign.threshold if said.threshold is None else said.threshold,
        flags=said.flags,
        says=said.says,
    )


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"
