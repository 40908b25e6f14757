"""Sentences that hold for a set of answers: rows of a table, each with the answers that it asks for.

No row names a rule, a mask or a task: a row applies where its conditions hold, whatever was run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradwarden.core.comparison import Answer, Point

SUPPORTED, REFUTED, OPEN, NOT_RUN = "supported", "refuted", "open", "not run"
UNHELPED = (REFUTED, OPEN, NOT_RUN)
ALONE = "supported alone"  # supported, but the claims that it depends on are not


@dataclass(frozen=True, kw_only=True)
class Rule:
    """Where every claim in `where` has one of its answers, `text` stands in `place`.

    `{C1}` in the text stands for what the runs say of C1.
    """

    place: str  # "summary", "bottom line", or "pro", "con", "use if" of `about`
    about: str
    where: Mapping[str, tuple[str, ...]]
    text: str


def row(place: str, about: str, text: str, /, **where: str | tuple[str, ...]) -> Rule:
    """A line of a table; `where` names claims and the answer, or answers, that they have."""
    answers = {id: (said,) if isinstance(said, str) else said for id, said in where.items()}
    return Rule(place=place, about=about, where=answers, text=text)


def points(
    place: str,
    about: str,
    answers: Mapping[str, Answer],
    table: tuple[Rule, ...],
    places: Mapping[str, str],
) -> tuple[Point, ...]:
    """The texts of `table` that hold for `answers`, each with the claims it rests on."""
    return tuple(
        Point(text=_filled(rule.text, answers, places), claims=tuple(rule.where))
        for rule in table
        if rule.place == place and rule.about == about and holds(rule, answers)
    )


def holds(rule: Rule, answers: Mapping[str, Answer]) -> bool:
    return all(_said(id, answers) in said for id, said in rule.where.items())


def _said(id: str, answers: Mapping[str, Answer]) -> str:
    if id not in answers:
        return NOT_RUN
    found = answers[id]
    return ALONE if found.answer == SUPPORTED and not found.counts else found.answer


def _filled(text: str, answers: Mapping[str, Answer], places: Mapping[str, str]) -> str:
    for name, value in places.items():
        text = text.replace("{" + name + "}", value)
    for id, said in answers.items():
        inside = said.says[:1].lower() + said.says[1:]  # after a colon the sentence goes on
        text = text.replace(": {" + id + "}", f": {inside}").replace("{" + id + "}", said.says)
    return text
