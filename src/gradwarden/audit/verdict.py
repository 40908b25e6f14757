"""From what was measured to one word and its reasons. Every branch is a row of a test.

Source: Carlini et al. 2019, arXiv:1902.06705 (what an evaluation may conclude).
"""

from __future__ import annotations

from typing import NamedTuple

from gradwarden.core.estimate import Estimate
from gradwarden.core.examination import Gate

MASKED, MASKED_P = 0.10, 0.001  # points between naive and adaptive accuracy, and their p-value
OVERSTATED, OVERSTATED_P = 0.02, 0.01  # ... where a finding says what hid them
TIGHT = 0.02  # between certificate and attack: nothing is left to find


WEAK = (
    "No hidden gradient was found: the naive attack was too weak, and a better search along the same "
    "gradient finds more."
)


class Evidence(NamedTuple):
    """All that the verdict rests on."""

    clean: Estimate
    naive: Estimate
    adaptive: Estimate
    certified: Estimate | None
    gap: float  # share of samples with a re-checked witness that the naive attack had not broken
    p_value: float  # exact McNemar of these
    around: float  # share of samples among them that fell to nothing along the model's own gradient
    around_p: float
    lost: float  # share of samples whose adversarial point did not hold when it was judged again
    hiding: tuple[str, ...]  # what hides the gradient and was gone around, one sentence each
    open: tuple[str, ...]  # what nothing could be done about, one sentence each
    gates: tuple[Gate, ...]
    claim: float | None


def decide(seen: Evidence) -> tuple[str, tuple[str, ...]]:
    """The verdict and full sentences: "certified", "masked", "overstated", "inconclusive" or
    "consistent"."""
    large = seen.gap >= MASKED and seen.p_value < MASKED_P
    # Without a finding, what a better search along the model's own gradient takes was not hidden.
    named = bool(seen.hiding or seen.open)
    hidden = large and (named or (seen.around >= MASKED and seen.around_p < MASKED_P))
    proof = _proof(seen)
    against = _against(seen)
    if proof and seen.claim is not None:
        return "certified", (*proof, *([_gap(seen), *seen.hiding] if hidden else []), _bound(seen))
    if hidden:
        return "masked", (_gap(seen), *seen.hiding, *against)
    if against:
        return "overstated", (*against, *seen.hiding, _bound(seen))
    if seen.hiding and seen.gap >= OVERSTATED and seen.p_value < OVERSTATED_P:
        return "overstated", (_gap(seen), *seen.hiding, _bound(seen))
    if large:
        return "overstated", (_gap(seen), WEAK, _bound(seen))
    if proof:
        return "certified", (*proof, _bound(seen))
    doubts = _doubts(seen)
    if doubts:
        return "inconclusive", (*doubts, _bound(seen))
    return "consistent", (_bound(seen), *_honest(seen), *_not_run(seen))


def _gap(seen: Evidence) -> str:
    found = round(seen.gap * seen.naive.n)
    return (
        f"An attack that follows the model's own gradient leaves {_percent(seen.naive.value)} of "
        f"{seen.naive.n} samples right, the adaptive attack {_percent(seen.adaptive.value)}: "
        f"{100 * seen.gap:.1f} points of the apparent robustness are not there (exact McNemar "
        f"p = {seen.p_value:.2g}; {found} witnesses re-checked one by one)."
    )


def _against(seen: Evidence) -> tuple[str, ...]:
    claim = seen.claim
    if claim is None:
        return ()
    if claim > seen.clean.high:
        return (
            (
                f"The claim of {_percent(claim)} lies above the accuracy without any attack: "
                f"{_percent(seen.clean.value)}, at most {_percent(seen.clean.high)} (95 % interval)."
            ),
        )
    if claim <= seen.adaptive.high:
        return ()
    plain = claim > seen.naive.high
    kind, left = ("plain", seen.naive) if plain else ("adaptive", seen.adaptive)
    says = (
        f"The claim of {_percent(claim)} lies above what the {kind} attack leaves: "
        f"{_percent(left.value)}, at most {_percent(left.high)} (95 % interval)."
    )
    return (says,)


def _proof(seen: Evidence) -> tuple[str, ...]:
    lower = seen.certified
    if lower is None or not seen.clean.value:
        return ()
    enough = seen.adaptive.value - TIGHT if seen.claim is None else seen.claim
    if not lower.value or lower.value < enough:
        return ()
    above = "" if seen.claim is None else f", the claim of {_percent(seen.claim)} or more"
    return (
        (
            f"A certificate holds for {_percent(lower.value)} of these samples{above}: no attack within "
            "the threat gets below that."
        ),
    )


def _doubts(seen: Evidence) -> tuple[str, ...]:
    if not seen.clean.value:
        return (
            (
                "The model gets no sample right, so there is no robustness to test: labels, or the "
                "order of the classes, may be others than the model's."
            ),
        )
    doubts = [f"No attack of this audit gets around this: {clause}" for clause in seen.open]
    if seen.hiding and seen.gap >= OVERSTATED:
        doubts.append(
            f"The adaptive attack removes {100 * seen.gap:.1f} points more than the plain one, "
            f"which on {seen.naive.n} samples may be chance (p = {seen.p_value:.2g}): more samples "
            "settle it."
        )
    if seen.lost >= OVERSTATED:
        doubts.append(
            f"The adversarial points of {_percent(seen.lost)} of the samples did not hold when they "
            "were judged again: more draws a point settle it."
        )
    red = [gate for gate in seen.gates if gate.state == "red"]
    found = [gate.settle for gate in red if gate.name == "findings" and gate.settle]
    others = [f"{gate.says} {gate.settle}".strip() for gate in red if gate.name != "findings"]
    return (*doubts, *found, *others)


def _honest(seen: Evidence) -> tuple[str, ...]:
    if seen.gap >= OVERSTATED:
        return (
            (
                f"The stronger attack removes {100 * seen.gap:.1f} points more than the plain one, and "
                "no hidden gradient was found: quote the lower figure."
            ),
        )
    return seen.hiding


def _not_run(seen: Evidence) -> tuple[str, ...]:
    names = [gate.name for gate in seen.gates if gate.state == "not run"]
    return (f"Not run in this budget: {', '.join(names)}.",) if names else ()


def _bound(seen: Evidence) -> str:
    return (
        f"Accuracy under attack is at most {_percent(seen.adaptive.value)} (95 % interval "
        f"{_percent(seen.adaptive.low)} to {_percent(seen.adaptive.high)}, {seen.adaptive.n} "
        f"samples; {_percent(seen.clean.value)} without attack): an upper bound, no proof."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
