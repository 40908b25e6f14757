"""The table of known answers, for the terminal and the documentation."""

from __future__ import annotations

import re

from gradwarden.zoo.known import Answers

COLUMNS = ("Name", "Half", "Family", "Kind", "Clean", "Naive", "Best known", "By", "Masked")


def row(known: Answers) -> tuple[str, ...]:
    """One text for each of `COLUMNS`; accuracies in percent."""
    best = f"{known.best.value:.1%}"
    if known.certified is not None:
        best += f" (at least {known.certified.value:.1%})"
    return (
        known.name,
        known.half,
        known.family,
        known.kind,
        f"{known.clean.value:.1%}",
        f"{known.naive.value:.1%}",
        best,
        short(known.attack),
        "yes" if known.masked else "no",
    )


def short(attack: str) -> str:
    """The names of the attacks in a `repr`, from the outermost in, and the loss."""
    kinds = re.findall(r"\b([A-Z]\w*)\(", attack.split("patches=")[0])
    loss = re.search(r"loss='([^']+)'", attack)
    return " of ".join(kinds) + (f", {loss[1]}" if loss else "")
