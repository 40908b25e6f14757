"""Which models there are; one line an entry. Names of nets are numbers, in no order."""

from __future__ import annotations

from gradwarden.core.errors import BadInput
from gradwarden.zoo.definition import Entry
from gradwarden.zoo.development import (
    by_training,
    honest,
    lying,
    shattered,
    stochastic,
    tabular,
    vanishing,
)
from gradwarden.zoo.held_out.entries import HELD_OUT

ENTRIES: tuple[Entry, ...] = (
    shattered.BIT_DEPTH,
    shattered.ONE_BIT,
    shattered.MOTION_LEVELS,
    shattered.CODEC,
    shattered.SWITCHES,
    shattered.WINNERS,
    stochastic.NOISE,
    stochastic.RESIZE_PAD,
    stochastic.DROPOUT,
    vanishing.DISTILLED,
    vanishing.SCALED,
    lying.ZERO_BACKWARD,
    lying.DETACHED,
    by_training.FGSM_TRAINED,
    tabular.BINNED,
    tabular.TREES,
    tabular.EMBEDDED,
    honest.SATURATED,
    honest.MOTION_PLAIN,
    honest.PHISHING_PLAIN,
    honest.ADVERSARIAL,
    honest.ADVERSARIAL_LARGE,
    honest.STRAIGHT_THROUGH,
    honest.BATCH_NORM,
    honest.SMOOTHED,
    *HELD_OUT,
)


def names(half: str | None = None) -> tuple[str, ...]:
    """Of all entries, or of those in `half`: "development" or "held-out"."""
    return tuple(e.name for e in ENTRIES if half in (None, e.half))


def entry(name: str) -> Entry:
    """Raises BadInput for a name that no entry has."""
    for found in ENTRIES:
        if found.name == name:
            return found
    raise BadInput(f"the zoo has no {name!r}: see `gradwarden zoo` for the names")
