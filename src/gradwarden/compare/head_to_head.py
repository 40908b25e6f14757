"""Two contenders for the same purpose on the same runs: who did better at what, by one table.

No row names a rule, a mask or a task. `{A}` is the first contender, `{B}` the second; the claims say
what the first one does that the second does not, so that a refuted one speaks for the second.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradwarden.compare.picks import SECURE, TRAIN, sentence
from gradwarden.compare.sentences import NOT_RUN, OPEN, REFUTED, SUPPORTED, Rule, points, row
from gradwarden.core.comparison import Answer, Contender, Point

UNKNOWN = (OPEN, NOT_RUN)
FIRST, SECOND = " first", " second"  # with the purpose before it: whom a point is about


def _either(purpose: str, place: str, text: str, id: str) -> tuple[Rule, ...]:
    """The same point for the first where the claim holds, for the second where it is refuted."""
    return (
        row(place, purpose + FIRST, text, **{id: SUPPORTED}),
        row(place, purpose + SECOND, text, **{id: REFUTED}),
    )


TABLE: tuple[Rule, ...] = (
    # For training, sentence by sentence.
    row("summary", TRAIN, "{A} loses fewer runs to divergence than {b}: {C1}", C1=SUPPORTED),
    row("summary", TRAIN, "{B} loses fewer runs to divergence than {a}: {C1}", C1=REFUTED),
    row(
        "summary",
        TRAIN,
        "Whether {a} or {b} loses fewer runs to divergence stays open: {C1}",
        C1=OPEN,
    ),
    row("summary", TRAIN, "Divergence was not put to the test: {C1}", C1=NOT_RUN),
    row("summary", TRAIN, "{A} makes training converge faster: {C3}", C3=SUPPORTED),
    row("summary", TRAIN, "{B} makes training converge faster: {C3}", C3=REFUTED),
    row("summary", TRAIN, "Which of the two converges faster stays open: {C3}", C3=OPEN),
    row("summary", TRAIN, "Which of the two converges faster is not known: {C3}", C3=NOT_RUN),
    row(
        "choice",
        TRAIN,
        "For stable training: use {a}.",
        C1=SUPPORTED,
        C3=(SUPPORTED, *UNKNOWN),
    ),
    row("choice", TRAIN, "For stable training: use {b}.", C1=REFUTED, C3=(REFUTED, *UNKNOWN)),
    row(
        "choice",
        TRAIN,
        "For stable training: use {a}, and {b} where speed matters more.",
        C1=SUPPORTED,
        C3=REFUTED,
    ),
    row(
        "choice",
        TRAIN,
        "For stable training: use {b}, and {a} where speed matters more.",
        C1=REFUTED,
        C3=SUPPORTED,
    ),
    row("choice", TRAIN, "For training: use {a}, for its speed.", C1=UNKNOWN, C3=SUPPORTED),
    row("choice", TRAIN, "For training: use {b}, for its speed.", C1=UNKNOWN, C3=REFUTED),
    row(
        "choice",
        TRAIN,
        "For training: use {a}, for what it reaches. {C5}",
        C1=UNKNOWN,
        C3=UNKNOWN,
        C5=SUPPORTED,
    ),
    row(
        "choice",
        TRAIN,
        "For training: use {b}, for what it reaches. {C4}",
        C1=UNKNOWN,
        C3=UNKNOWN,
        C4=REFUTED,
        C5=(REFUTED, *UNKNOWN),
    ),
    row(
        "choice",
        TRAIN,
        "For training: these runs do not tell {a} and {b} apart; take the simpler one.",
        C1=UNKNOWN,
        C3=UNKNOWN,
        C4=(SUPPORTED, *UNKNOWN),
        C5=(REFUTED, *UNKNOWN),
    ),
    row("quality", TRAIN, "{A} costs no quality beside {b}. {C4}", C4=SUPPORTED),
    row("quality", TRAIN, "{A} costs quality beside {b}. {C4}", C4=REFUTED),
    row("quality", TRAIN, "Whether {a} costs quality beside {b} stays open. {C4}", C4=OPEN),
    row("quality", TRAIN, "Quality was not put to the test. {C4}", C4=NOT_RUN),
    *_either(TRAIN, "pro", "Loses fewer runs to divergence. {C1}", "C1"),
    *_either(TRAIN, "pro", "Allows larger learning rates. {C2}", "C2"),
    *_either(TRAIN, "pro", "Converges faster. {C3}", "C3"),
    row("pro", TRAIN + FIRST, "Reaches no worse a performance. {C4}", C4=SUPPORTED),
    row("con", TRAIN + FIRST, "Reaches a worse performance. {C4}", C4=REFUTED),
    row("pro", TRAIN + FIRST, "Does better by a twentieth or more. {C5}", C5=SUPPORTED),
    row("con", TRAIN + FIRST, "Loses more runs to divergence. {C1}", C1=REFUTED),
    row("con", TRAIN + SECOND, "Loses more runs to divergence. {C1}", C1=SUPPORTED),
    row("con", TRAIN + FIRST, "Converges more slowly. {C3}", C3=REFUTED),
    row("con", TRAIN + SECOND, "Converges more slowly. {C3}", C3=SUPPORTED),
    row("use if", TRAIN + FIRST, "Runs are lost to divergence with {b}.", C1=SUPPORTED),
    row("use if", TRAIN + FIRST, "Only beside {b}, not in its place.", C1=REFUTED),
    row("use if", TRAIN + FIRST, "A run of your own has shown that it helps.", C1=UNKNOWN),
    row("use if", TRAIN + SECOND, "Runs are lost to divergence with {a}.", C1=REFUTED),
    row("use if", TRAIN + SECOND, "Only beside {a}, not in its place.", C1=SUPPORTED),
    row("use if", TRAIN + SECOND, "A run of your own has shown that it helps.", C1=UNKNOWN),
    # For security.
    row("summary", SECURE, "{A} leaves more right under attack than {b}: {S1}", S1=SUPPORTED),
    row("summary", SECURE, "{B} leaves more right under attack than {a}: {S1}", S1=REFUTED),
    row("summary", SECURE, "Which of the two stands better under attack stays open: {S1}", S1=OPEN),
    row("summary", SECURE, "The two were not put to the test: {S1}", S1=NOT_RUN),
    row("summary", SECURE, "{A} costs no more accuracy than {b}: {S2}", S2=SUPPORTED),
    row("summary", SECURE, "{A} costs more accuracy than {b}: {S2}", S2=REFUTED),
    row("summary", SECURE, "Whether {a} costs more accuracy than {b} stays open: {S2}", S2=OPEN),
    row("summary", SECURE, "What they cost in accuracy is not known: {S2}", S2=NOT_RUN),
    row(
        "choice",
        SECURE,
        "For security: use {a}, which holds by itself too. {M2}",
        S1=SUPPORTED,
        M2=SUPPORTED,
    ),
    row(
        "choice",
        SECURE,
        "For security: {a} beats {b}, but is not shown to make the model secure. {M2}",
        S1=SUPPORTED,
        M2=(REFUTED, *UNKNOWN),
    ),
    row(
        "choice",
        SECURE,
        "For security: {b} beats {a}; whether it holds by itself is for its own test. {S1}",
        S1=REFUTED,
    ),
    row(
        "choice",
        SECURE,
        "For security: these runs do not tell {a} and {b} apart; take neither on trust.",
        S1=UNKNOWN,
    ),
    row("quality", SECURE, "Where nobody attacks, {a} costs no more than {b}.", S2=SUPPORTED),
    row("quality", SECURE, "Where nobody attacks, {b} keeps more accuracy.", S2=REFUTED),
    row("quality", SECURE, "Which keeps more accuracy where nobody attacks is open.", S2=UNKNOWN),
    *_either(SECURE, "pro", "Leaves more right under attack. {S1}", "S1"),
    row("pro", SECURE + FIRST, "Costs no more accuracy. {S2}", S2=SUPPORTED),
    row("con", SECURE + FIRST, "Costs more accuracy. {S2}", S2=REFUTED),
    row("pro", SECURE + SECOND, "Costs less accuracy. {S2}", S2=REFUTED),
    row("con", SECURE + FIRST, "Leaves less right under attack. {S1}", S1=REFUTED),
    row("con", SECURE + SECOND, "Leaves less right under attack. {S1}", S1=SUPPORTED),
    row("con", SECURE + FIRST, "Does not make the model secure by itself. {M2}", M2=REFUTED),
    row("use if", SECURE + FIRST, "An attacker has to be stopped, rather than {b}.", S1=SUPPORTED),
    row("use if", SECURE + FIRST, "No use is supported by these runs.", S1=(REFUTED, *UNKNOWN)),
    row("use if", SECURE + SECOND, "An attacker has to be stopped, rather than {a}.", S1=REFUTED),
    row("use if", SECURE + SECOND, "No use is supported by these runs.", S1=(SUPPORTED, *UNKNOWN)),
)


def places(first: str, second: str) -> dict[str, str]:
    """What stands for {a}, {A}, {b} and {B}."""
    return {"a": first, "A": sentence(first), "b": second, "B": sentence(second)}


def summary(
    purpose: str, answers: Mapping[str, Answer], where: Mapping[str, str]
) -> tuple[Point, ...]:
    """Three sentences: two findings and the choice."""
    found = (points(place, purpose, answers, TABLE, where) for place in ("summary", "choice"))
    return tuple(point for some in found for point in some)


def bottom_line(
    purpose: str, answers: Mapping[str, Answer], where: Mapping[str, str]
) -> tuple[Point, ...]:
    """The choice, and what it costs."""
    found = (points(place, purpose, answers, TABLE, where) for place in ("choice", "quality"))
    return tuple(point for some in found for point in some)


def contender(
    about: str, what: str, answers: Mapping[str, Answer], where: Mapping[str, str]
) -> Contender:
    """One side; `about` is the purpose and FIRST or SECOND."""
    name = where["A" if about.endswith(FIRST) else "B"]

    def said(place: str) -> tuple[Point, ...]:
        return points(place, about, answers, TABLE, where)

    return Contender(
        name=name, what=what, pros=said("pro"), cons=said("con"), use_if=said("use if")
    )
