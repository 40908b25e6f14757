"""From the answers to the claims to pros, cons, "use it if" and the bottom line, by one table.

No row names a rule, a mask or a task: a row applies where its conditions hold, whatever was run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gradwarden.core.comparison import Answer, Contender, Point

SUPPORTED, REFUTED, OPEN, NOT_RUN = "supported", "refuted", "open", "not run"
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


CLIP, MASK = "clipping", "masking"
TABLE: tuple[Rule, ...] = (
    # What the page says first: one sentence on each contender, one on the choice.
    row("summary", CLIP, "Clipping does what is said of it against divergence: {C1}", C1=SUPPORTED),
    row("summary", CLIP, "Clipping made training less stable here: {C1}", C1=REFUTED),
    row(
        "summary",
        CLIP,
        "Whether clipping prevents divergence stays open on these runs: {C1}",
        C1=OPEN,
    ),
    row("summary", CLIP, "Clipping was not put to the test in these runs.", C1=NOT_RUN),
    row(
        "summary",
        MASK,
        "Masking stops attackers who follow the gradient, but does not make the model secure: {M2}",
        M1=SUPPORTED,
        M2=REFUTED,
    ),
    row("summary", MASK, "Masking held even against the adaptive attack: {M2}", M2=SUPPORTED),
    row(
        "summary",
        MASK,
        "Masking did not make the model secure, and not every mask stopped even the plain "
        "attacks: {M2}",
        M1=(REFUTED, OPEN, NOT_RUN),
        M2=REFUTED,
    ),
    row("summary", MASK, "Whether masking makes the model secure stays open: {M2}", M2=OPEN),
    row("summary", MASK, "Masking was not put to the test in these runs.", M2=NOT_RUN),
    row(
        "summary",
        "both",
        "The two answer different questions and are no substitutes: clip to keep training alive; "
        "for security use a defence that hides nothing, which passed the same test.",
        C1=SUPPORTED,
        M2=(REFUTED, OPEN, NOT_RUN),
        H2=SUPPORTED,
    ),
    row(
        "summary",
        "both",
        "The two answer different questions and are no substitutes: clip to keep training alive; "
        "nothing tried here is shown to make the model secure.",
        C1=SUPPORTED,
        M2=(REFUTED, OPEN, NOT_RUN),
        H2=(REFUTED, OPEN, NOT_RUN),
    ),
    row(
        "summary",
        "both",
        "The two answer different questions and are no substitutes; each did its own job here.",
        C1=SUPPORTED,
        M2=SUPPORTED,
    ),
    row(
        "summary",
        "both",
        "The two answer different questions and are no substitutes; only masking did its own job "
        "here.",
        C1=(REFUTED, OPEN, NOT_RUN),
        M2=SUPPORTED,
    ),
    row(
        "summary",
        "both",
        "The two answer different questions and are no substitutes; neither is shown to do its "
        "own job on these runs.",
        C1=(REFUTED, OPEN, NOT_RUN),
        M2=(REFUTED, OPEN, NOT_RUN),
    ),
    # Clipping, point by point.
    row("pro", CLIP, "Prevents divergence and NaN. {C1}", C1=SUPPORTED),
    row("pro", CLIP, "Allows larger learning rates. {C2}", C2=SUPPORTED),
    row("pro", CLIP, "Converges faster. {C3}", C3=SUPPORTED),
    row("pro", CLIP, "Costs no quality. {C4}", C4=SUPPORTED),
    row("con", CLIP, "Made more runs diverge. {C1}", C1=REFUTED),
    row("con", CLIP, "Did not prevent divergence measurably here. {C1}", C1=OPEN),
    row(
        "con",
        CLIP,
        "Larger rates are no gain by themselves: they came without faster convergence at equal "
        "quality. {C2}",
        C2=ALONE,
    ),
    row("con", CLIP, "A larger rate, nominal and effective, could not be shown. {C2}", C2=OPEN),
    row("con", CLIP, "The largest stable rate got smaller. {C2}", C2=REFUTED),
    row("con", CLIP, "No faster convergence could be shown. {C3}", C3=OPEN),
    row("con", CLIP, "Training converged more slowly. {C3}", C3=REFUTED),
    row("con", CLIP, "Equal quality could not be shown. {C4}", C4=OPEN),
    row("con", CLIP, "Cost quality. {C4}", C4=REFUTED),
    row(
        "con",
        CLIP,
        "One more threshold to choose; it says nothing about attackers.",
    ),
    row(
        "use if",
        CLIP,
        "Your runs meet spikes, NaN or divergence, or you train near the largest rate that holds.",
        C1=SUPPORTED,
    ),
    row(
        "use if",
        CLIP,
        "Only after a run of your own has shown that it helps: these runs did not.",
        C1=(REFUTED, OPEN),
    ),
    row(
        "use if", CLIP, "A run of your own has shown that it helps: none was made here.", C1=NOT_RUN
    ),
    # Masking, point by point.
    row("pro", MASK, "Stops attackers who follow the gradient. {M1}", M1=SUPPORTED),
    row("pro", MASK, "Held against the adaptive attack found here. {M2}", M2=SUPPORTED),
    row("con", MASK, "Did not stop even the plain gradient attacks. {M1}", M1=REFUTED),
    row(
        "con",
        MASK,
        "Stopping attackers who follow the gradient could not be shown for every mask. {M1}",
        M1=OPEN,
    ),
    row(
        "con",
        MASK,
        "Does not make the model secure: an adaptive attack gets through. {M2}",
        M2=REFUTED,
    ),
    row("con", MASK, "Security against an adaptive attacker could not be shown. {M2}", M2=OPEN),
    row(
        "con",
        MASK,
        "Makes the model look robust: an evaluation with plain attacks overstates it.",
        M1=SUPPORTED,
        M2=REFUTED,
    ),
    row("con", MASK, "Does nothing for the stability of training."),
    row(
        "use if",
        MASK,
        "Only to raise the cost for unskilled attackers, on top of a real defence, never instead "
        "of one.",
        M1=SUPPORTED,
        M2=(REFUTED, OPEN, NOT_RUN),
    ),
    row(
        "use if",
        MASK,
        "It is audited on your own model and holds there as it did here.",
        M2=SUPPORTED,
    ),
    row(
        "use if",
        MASK,
        "No use is supported by these runs.",
        M1=(REFUTED, OPEN, NOT_RUN),
        M2=(REFUTED, OPEN, NOT_RUN),
    ),
    # The choice.
    row("bottom line", "both", "For stable training: clip.", C1=SUPPORTED),
    row(
        "bottom line",
        "both",
        "For stable training: first lower the rate; clipping showed no gain here.",
        C1=(REFUTED, OPEN),
    ),
    row("bottom line", "both", "For stable training: not run.", C1=NOT_RUN),
    row(
        "bottom line",
        "both",
        "For security: do not rely on masking; train adversarially. {H2}",
        M2=(REFUTED, OPEN, NOT_RUN),
        H2=SUPPORTED,
    ),
    row(
        "bottom line",
        "both",
        "For security: do not rely on masking; no defence tried here is shown to hold.",
        M2=REFUTED,
        H2=(REFUTED, OPEN, NOT_RUN),
    ),
    row(
        "bottom line",
        "both",
        "For security: not settled by these runs.",
        M2=OPEN,
        H2=(REFUTED, OPEN, NOT_RUN),
    ),
    row(
        "bottom line",
        "both",
        "For security: not settled by these runs.",
        M2=NOT_RUN,
        H2=(REFUTED, OPEN),
    ),
    row("bottom line", "both", "For security: not run.", M2=NOT_RUN, H2=NOT_RUN),
    row(
        "bottom line",
        "both",
        "For security: the masks held here; audit your own model before you rely on one.",
        M2=SUPPORTED,
    ),
)

WHAT = {
    CLIP: "Scales a training step's gradient down where its norm exceeds a threshold.",
    MASK: "Hides a model's input gradient from attackers who would follow it.",
}


def points(
    place: str, about: str, answers: Mapping[str, Answer], table: tuple[Rule, ...] = TABLE
) -> tuple[Point, ...]:
    """The texts of `table` that hold for `answers`, each with the claims it rests on."""
    return tuple(
        Point(text=_filled(rule.text, answers), claims=tuple(rule.where))
        for rule in table
        if rule.place == place and rule.about == about and holds(rule, answers)
    )


def holds(rule: Rule, answers: Mapping[str, Answer]) -> bool:
    return all(_said(id, answers) in said for id, said in rule.where.items())


def contender(name: str, answers: Mapping[str, Answer]) -> Contender:
    """One side of the page; `name` is CLIP or MASK."""
    return Contender(
        name=f"Gradient {name}",
        what=WHAT[name],
        pros=points("pro", name, answers),
        cons=points("con", name, answers),
        use_if=points("use if", name, answers),
    )


def summary(answers: Mapping[str, Answer]) -> tuple[Point, ...]:
    """Three sentences: on each contender, and on the choice."""
    return tuple(p for about in (CLIP, MASK, "both") for p in points("summary", about, answers))


def bottom_line(answers: Mapping[str, Answer]) -> tuple[Point, ...]:
    return points("bottom line", "both", answers)


def _said(id: str, answers: Mapping[str, Answer]) -> str:
    if id not in answers:
        return NOT_RUN
    found = answers[id]
    return ALONE if found.answer == SUPPORTED and not found.counts else found.answer


def _filled(text: str, answers: Mapping[str, Answer]) -> str:
    for id, said in answers.items():
        inside = said.says[:1].lower() + said.says[1:]  # after a colon the sentence goes on
        text = text.replace(": {" + id + "}", f": {inside}").replace("{" + id + "}", said.says)
    return text
