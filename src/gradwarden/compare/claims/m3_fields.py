"""M3: masking suits vehicles, fraud and medicine, by that field's own threat and figure.

Source of the threats: see each task; of the test: as in M2.
"""

from __future__ import annotations

from dataclasses import replace

from gradwarden.compare.claims.security import ADAPTIVE, HALF, SMALLEST, Pair, paired
from gradwarden.compare.claims.words import from_parts, judged, not_run, number, share
from gradwarden.compare.picks import Picks, sentence
from gradwarden.compare.results import Defended, Results
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate, paired_mean

ID = "M3"
LEAST = 0.02  # of the figure: an attack that takes less leaves nothing to restore


def judge(results: Results, picks: Picks) -> Answer:
    figure = picks.words.figure
    if not picks.words.field:
        return not_run(ID, claim(picks), "masking", "the task is none of these fields")
    found = {name: pairs for name in picks.masks if (pairs := paired(results, "", name))}
    if not found:
        why = "no attacks on a defended and an undefended net"
        return not_run(ID, claim(picks), "masking", why)
    known = {
        name: effect
        for name, pairs in found.items()
        if (effect := restored(pairs, figure, picks.words.higher)) is not None
    }
    if not known:
        why = f"without a defence the attack takes less than {LEAST} of the {figure}"
        return not_run(ID, claim(picks), "masking", why)
    parts = tuple(
        _part(f"{ID}.{n}", name, found[name], effect, figure)
        for n, (name, effect) in enumerate(known.items(), 1)
    )
    says = f"In {picks.words.field}, of what an attacker takes of the {figure}: " + "; ".join(
        part.says for part in parts
    )
    how = (
        f"Of the loss that the adaptive attack makes in the {figure} without a defence, the share "
        "that is not lost with it: (with, attacked - without, attacked) / (without, clean - "
        "without, attacked), net by net. Null one half, smallest effect 10 points from it; Student's "
        "t over seeds."
    )
    if len(parts) == 1:
        return replace(parts[0], id=ID, claim=claim(picks), says=f"{says}.", how=how)
    return from_parts(
        id=ID, claim=claim(picks), about="masking", says=f"{says}.", how=how, parts=parts
    )


def claim(picks: Picks) -> str:
    field = picks.words.field or "vehicles, fraud and medicine"
    return f"{sentence(picks.secure)} suits {field}."


def restored(pairs: list[Pair], figure: str, higher: bool) -> Estimate | None:
    """Over the nets whose figure the attack does harm; None where it harms none."""
    shares = []
    for control, defence in pairs:
        lost = value(control, "clean", figure) - value(control, ADAPTIVE, figure)
        if (lost if higher else -lost) >= LEAST:
            shares.append(
                (value(defence, ADAPTIVE, figure) - value(control, ADAPTIVE, figure)) / lost
            )
    return paired_mean(shares) if shares else None


def value(run: Defended, when: str, figure: str) -> float:
    """The figure "clean" or "adaptive"; the share of samples right where the task names no other."""
    if figure in run.metrics.get(when, {}):
        return float(run.metrics[when][figure])
    bits: str = getattr(run, when)
    return bits.count("1") / len(bits)


def _part(id: str, name: str, pairs: list[Pair], effect: Estimate, figure: str) -> Answer:
    def mean(which: int, when: str) -> str:
        return number(sum(value(pair[which], when, figure) for pair in pairs) / len(pairs))

    return judged(
        id=id,
        claim=f"{name} restores most of the {figure}.",
        about="masking",
        says=(
            f"{name} restores {share(effect)} ({mean(0, 'clean')} clean and "
            f"{mean(0, ADAPTIVE)} attacked without it, {mean(1, 'clean')} and {mean(1, ADAPTIVE)} "
            "with it)"
        ),
        how=f"Share of the loss in {figure} that is not lost, null one half.",
        effect=effect,
        null=HALF,
        smallest=SMALLEST,
        unit=f"share of the {figure} restored",
        subject=name,
    )
