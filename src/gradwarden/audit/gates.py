"""The conditions on which a verdict rests, each green, red or not run.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4; Zimmermann et al. 2022, arXiv:2206.13991.
"""

from __future__ import annotations

from collections.abc import Sequence

from gradwarden.audit.binarisation import Binarised
from gradwarden.audit.curve import Curve
from gradwarden.core.examination import Gate
from gradwarden.core.records import Finding

SURE = 0.95  # of the points that are there for certain, found by an attack that can be believed
BY_HAND = {  # no stand-in helps against these
    "batch-coupled": "With batch_size=1 attacks meet the model that the referee judges.",
    "remembers": "A model that puts its state back before each answer can be audited.",
}
FEW = 2  # samples: a single one may be luck
POINTS = 0.01  # what one gate lets pass, in shares of all samples


def converged(tried: int, fell: int, standing: int, n: int) -> Gate:
    """Of `tried` survivors of `standing`, `fell` to a search twice as long; `n` samples in all."""
    if not tried:
        return Gate(name="converged", state="green", says="No sample is left to search longer for.")
    lost = fell / tried * standing / n
    says = (
        f"A search twice as long breaks {fell} of {tried} samples that stood, which makes "
        f"{100 * lost:.1f} points of all."
    )
    if lost <= POINTS:
        return Gate(name="converged", state="green", says=says)
    return Gate(
        name="converged",
        state="red",
        says=says,
        settle="The next larger budget searches longer, at four to ten times the cost.",
    )


def unreachable() -> Gate:
    """No route leads to a gradient, so no search along one can converge."""
    return Gate(
        name="converged",
        state="not run",
        says="No sample has a gradient along any route, so the model was only asked.",
        settle="A differentiable stand-in for the model, and more queries.",
    )


def black_box(missed: int, n: int, ran: Sequence[str]) -> Gate:
    """`missed` samples fell to what follows no gradient, and to nothing that does."""
    if not ran:
        says = "No sample is left that an attack without a gradient could break."
        return Gate(name="black box", state="green", says=says)
    *first, last = ran
    names = f"{', '.join(first)} and {last}" if first else last
    says = f"{names.capitalize()} break {missed} of {n} samples that no attack along a gradient breaks."
    if missed < max(POINTS * n, FEW):
        return Gate(name="black box", state="green", says=says)
    return Gate(
        name="black box",
        state="red",
        says=says,
        settle="Somewhere the gradient ends or misleads: more queries tell how far, in the thorough "
        "budget.",
    )


def sweep(found: Curve) -> Gate:
    """Whether the adaptive attack leaves no more than chance where it may do anything."""
    if found.series is None or found.last is None:
        says = f"Accuracy against radius was not measured: {found.note.removeprefix('Not run: ')}"
        settle = "A ball of another kind, or samples that the goal is about."
        return Gate(name="sweep", state="not run", says=says, settle=settle)
    last, radius = found.last, found.series.x[-1]
    says = (
        f"At radius {radius:.3g} the attack leaves {100 * last.value:.1f} % of {last.n} samples; "
        f"an answer that looks at nothing gets {100 * found.chance:.1f} %."
    )
    if found.reaches_chance:
        return Gate(name="sweep", state="green", says=says)
    if not found.whole or found.note:
        return Gate(
            name="sweep",
            state="not run",
            says=f"{says} {found.note}",
            settle="A box with ends, and no feature held, would let accuracy reach chance.",
        )
    return Gate(
        name="sweep",
        state="red",
        says=says,
        settle="The attack fails where nothing binds it; a larger budget, or a stand-in for what "
        "misleads it, settles it.",
    )


def binarisation(found: Binarised) -> Gate:
    """Whether the attack finds points that are there for certain."""
    if not found.n:
        return not_binarised(found.note.removeprefix("Not run: ").rstrip("."))
    says = (
        f"Of {found.n} samples with an adversarial point made for certain, the attack finds "
        f"{100 * found.asr:.0f} %, random points {100 * found.random_asr:.0f} %."
    )
    if found.asr >= SURE:
        return Gate(name="binarisation", state="green", says=says)
    return Gate(
        name="binarisation",
        state="red",
        says=says,
        settle="The attack misses what is there; a stand-in for what misleads it settles it.",
    )


def not_binarised(why: str) -> Gate:
    return Gate(
        name="binarisation",
        state="not run",
        says=f"The binarisation test was not run: {why}.",
        settle="The standard budget runs it for models that end in one linear layer.",
    )


def findings(open_: Sequence[Finding]) -> Gate:
    """Whether something was found that nothing could be done about."""
    if not open_:
        return Gate(
            name="findings", state="green", says="Every finding was gone around or is harmless."
        )
    names = ", ".join(sorted({finding.check for finding in open_}))
    settle = "A stand-in for the module, written by somebody who knows it, settles it: give the "
    settle += "module a method surrogate()."
    by_hand = sorted({BY_HAND[f.check] for f in open_ if f.check in BY_HAND})
    if all(finding.check in BY_HAND for finding in open_):
        settle = ""
    return Gate(
        name="findings",
        state="red",
        says=f"No attack of this audit gets around what these diagnostics found: {names}.",
        settle=" ".join(filter(None, [settle, *by_hand])),
    )


def constraints(judged: int, allowed: int) -> Gate:
    """Of `judged` stored adversarial examples, `allowed` are inside the threat."""
    says = f"{allowed} of {judged} stored adversarial examples lie inside the threat."
    if not judged:
        says = "No adversarial example is stored."
    state = "green" if allowed == judged else "red"
    settle = "" if state == "green" else "This is a fault of the audit itself: please report it."
    return Gate(name="constraints", state=state, says=says, settle=settle)
