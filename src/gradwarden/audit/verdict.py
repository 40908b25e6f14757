"""From what was measured to one word and its reasons. Every branch is a row of a test.

Source: Carlini et al. 2019, arXiv:1902.06705 (what an evaluation may conclude).
"""

from __future__ import annotations

import math
from typing import NamedTuple

from gradwarden.core.estimate import Estimate

GAP = 0.02  # accuracy that a patch or another loss must remove, where something hides the gradient
BARE_GAP = 0.10  # ... and where no diagnostic found what hides it
P_VALUE = 0.01
NOISE = 0.01  # share of samples that random points break and the adaptive attack does not


class Evidence(NamedTuple):
    """All that the verdict rests on."""

    clean: Estimate
    naive: Estimate
    adaptive: Estimate
    p_value: float  # exact McNemar, naive against adaptive
    witnesses: int  # samples that only the adaptive attack breaks, re-checked
    missed: float  # share of samples that noise breaks and the adaptive attack does not
    hiding: tuple[str, ...]  # what hides the gradient and was gone around, one sentence each
    open: tuple[str, ...]  # what nothing could be done about, one sentence each
    claim: float | None


def decide(seen: Evidence) -> tuple[str, tuple[str, ...]]:
    """The verdict ("masked", "overstated", "inconclusive" or "consistent") and full sentences."""
    gap = round(seen.naive.value - seen.adaptive.value, 9)  # 0.9 - 0.8 is below 0.1
    # A model that answers at random falls a little more often with every attempt.
    needed = GAP if seen.hiding else math.inf if seen.open else BARE_GAP
    against = _against(seen)
    if gap >= needed and seen.p_value < P_VALUE and seen.witnesses:
        return "masked", (_masked(seen, gap), *seen.hiding, *against)
    if against:
        return "overstated", (*against, *seen.hiding)
    doubts = _doubts(seen, gap)
    if doubts:
        return "inconclusive", (*doubts, _bound(seen))
    return "consistent", (_bound(seen), *seen.hiding, *_stronger(seen, gap))


def _masked(seen: Evidence, gap: float) -> str:
    return (
        f"An attack that follows the model's own gradient leaves {_percent(seen.naive.value)} of "
        f"{seen.naive.n} samples right, the adaptive attack {_percent(seen.adaptive.value)}: "
        f"{100 * gap:.1f} points of the apparent robustness are a hidden gradient (exact McNemar "
        f"p = {seen.p_value:.2g}; {seen.witnesses} witnesses re-checked one by one)."
    )


def _against(seen: Evidence) -> tuple[str, ...]:
    claim = seen.claim
    if claim is None or claim <= seen.adaptive.high:
        return ()
    plain = claim > seen.naive.high
    kind, left = ("plain", seen.naive) if plain else ("adaptive", seen.adaptive)
    says = (
        f"The claim of {_percent(claim)} lies above what the {kind} attack leaves: "
        f"{_percent(left.value)}, at most {_percent(left.high)} (95 % interval)."
    )
    return (says,)


def _doubts(seen: Evidence, gap: float) -> tuple[str, ...]:
    doubts = [f"No attack of this audit gets around this: {clause}" for clause in seen.open]
    if seen.hiding and gap >= GAP:
        doubts.append(
            f"The adaptive attack removes {100 * gap:.1f} points more than the plain one, which on "
            f"{seen.naive.n} samples may be chance (p = {seen.p_value:.2g}): more samples settle it."
        )
    if not seen.clean.value:
        doubts.append("The model gets no sample right, so there is no robustness to test.")
    if seen.missed >= NOISE:
        doubts.append(
            f"Random points break {_percent(seen.missed)} of the samples that the adaptive attack "
            "does not: that attack is too weak to conclude from."
        )
    return tuple(doubts)


def _stronger(seen: Evidence, gap: float) -> tuple[str, ...]:
    says = (
        f"The stronger attack removes {100 * gap:.1f} points more than the plain one, and no "
        "hidden gradient was found: quote the lower figure."
    )
    return (says,) if gap >= GAP else ()


def _bound(seen: Evidence) -> str:
    return (
        f"Accuracy under attack is at most {_percent(seen.adaptive.value)} (95 % interval "
        f"{_percent(seen.adaptive.low)} to {_percent(seen.adaptive.high)}, {seen.adaptive.n} "
        f"samples; {_percent(seen.clean.value)} without attack): an upper bound, no proof."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
