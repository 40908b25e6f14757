"""What the claims on two defences beside each other share: who stays right on more samples?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradwarden.compare.claims.security import (
    ADAPTIVE,
    accuracies,
    difference,
    paired,
    percent,
)
from gradwarden.compare.claims.words import from_parts, judged, not_run, points
from gradwarden.compare.results import Results
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate

WHEN = {"clean": "without an attacker", ADAPTIVE: "under the adaptive attack"}


def beside(
    results: Results,
    pairs: Sequence[tuple[str, str]],
    attacker: str,
    *,
    id: str,
    text: str,
    about: str,
    sample: str,
    margin: float = 0.0,
    smallest: float = 0.0,
) -> Answer:
    """Whether the first defence of each of `pairs` leaves more right than the second, less `margin`.

    `attacker` is a field of `Defended`: "clean" or "adaptive".
    """
    how = _how(sample, attacker, margin, smallest)
    parts: list[Answer] = []
    for pair in pairs:
        found = paired(results, *pair)
        if found:
            bits = [(getattr(a, attacker), getattr(b, attacker)) for a, b in found]
            names = (pair[0] or "no defence", pair[1] or "no defence")
            effect = difference(bits)
            parts.append(
                judged(
                    id=f"{id}.{len(parts) + 1}",
                    claim=f"{names[0]} against {names[1]}, {WHEN[attacker]}.",
                    about=about,
                    says=_says(names, bits, effect, sample),
                    how=how,
                    effect=effect,
                    null=-margin,
                    smallest=smallest,
                    unit="share",
                    subject=f"{names[0]} against {names[1]}",
                )
            )
    if not parts:
        return not_run(id, text, about, "no two such defences of the same seed")
    says = f"{WHEN[attacker].capitalize()}, " + "; ".join(part.says for part in parts) + "."
    table, figures = accuracies(results, sample), ("radius",)
    if len(parts) == 1:
        return replace(parts[0], id=id, claim=text, says=says, table=table, figures=figures)
    return from_parts(
        id=id,
        claim=text,
        about=about,
        says=says,
        how=how,
        parts=tuple(parts),
        table=table,
        figures=figures,
    )


def _says(
    names: tuple[str, str], bits: Sequence[tuple[str, str]], effect: Estimate, sample: str
) -> str:
    first, second = (percent([pair[n] for pair in bits]) for n in (0, 1))
    return (
        f"{names[0]} leaves {first} of the {sample}s right, {names[1]} {second}, a difference of "
        f"{points(effect)}"
    )


def _how(sample: str, attacker: str, margin: float, smallest: float) -> str:
    null = f"a loss of {100 * margin:.0f} points: non-inferiority" if margin else "0"
    least = f", smallest effect {100 * smallest:.0f} points" if smallest else ""
    return (
        f"Difference of the shares of {sample}s that are right {WHEN[attacker]}, on the same "
        f"{sample}s. Null {null}{least}. Newcombe's interval for paired shares; over several nets their mean."
    )
