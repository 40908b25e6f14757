"""From the answers to the claims to pros, cons, "use it if" and the bottom line, by one table.

For contenders of different ends; `head_to_head` has the table for two of one end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from gradwarden.compare.picks import SECURE, TRAIN, sentence
from gradwarden.compare.sentences import (
    ALONE,
    NOT_RUN,
    OPEN,
    REFUTED,
    SUPPORTED,
    UNHELPED,
    Rule,
    points,
    row,
)
from gradwarden.core.comparison import Answer, Contender, Point

TABLE: tuple[Rule, ...] = (
    # What the page says first: one sentence on each contender, one on the choice.
    row("summary", TRAIN, "{Train} does what is said of it against divergence: {C1}", C1=SUPPORTED),
    row("summary", TRAIN, "{Train} made training less stable here: {C1}", C1=REFUTED),
    row(
        "summary",
        TRAIN,
        "Whether {train} prevents divergence stays open on these runs: {C1}",
        C1=OPEN,
        C5=UNHELPED,
        C3=UNHELPED,
    ),
    row(
        "summary",
        TRAIN,
        "{Train} made training better, though whether it prevents divergence stays open: {C5}",
        C1=OPEN,
        C5=SUPPORTED,
    ),
    row(
        "summary",
        TRAIN,
        "{Train} made training faster, though whether it prevents divergence stays open: {C3}",
        C1=OPEN,
        C5=UNHELPED,
        C3=SUPPORTED,
    ),
    row("summary", TRAIN, "{Train} was not put to the test in these runs.", C1=NOT_RUN),
    row(
        "summary",
        SECURE,
        "{Secure} stops attackers who follow the gradient, but does not make the model secure: {M2}",
        M1=SUPPORTED,
        M2=REFUTED,
    ),
    row("summary", SECURE, "{Secure} held even against the adaptive attack: {M2}", M2=SUPPORTED),
    row(
        "summary",
        SECURE,
        "{Secure} did not make the model secure, and did not stop even the plain attacks: {M2}",
        M1=REFUTED,
        M2=REFUTED,
    ),
    row(
        "summary",
        SECURE,
        "{Secure} did not make the model secure; that it stops attackers who follow the gradient is "
        "not shown throughout: {M2}",
        M1=(OPEN, NOT_RUN),
        M2=REFUTED,
    ),
    row("summary", SECURE, "Whether {secure} makes the model secure stays open: {M2}", M2=OPEN),
    row("summary", SECURE, "{Secure} was not put to the test in these runs.", M2=NOT_RUN),
    row(
        "summary",
        "both",
        "The two answer different questions and are no substitutes: {train} keeps training alive; "
        "for security use a defence that hides nothing, which passed the same test.",
        C1=SUPPORTED,
        M2=(REFUTED, OPEN, NOT_RUN),
        H2=SUPPORTED,
    ),
    row(
        "summary",
        "both",
        "The two answer different questions and are no substitutes: {train} keeps training alive; "
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
        "The two answer different questions and are no substitutes; only {secure} did its own "
        "job here.",
        C1=(REFUTED, OPEN, NOT_RUN),
        M2=SUPPORTED,
    ),
    row(
        "summary",
        "both",
        "The two answer different questions and are no substitutes; neither is shown to keep its "
        "promise throughout: to prevent divergence, to make the model secure.",
        C1=(REFUTED, OPEN, NOT_RUN),
        M2=(REFUTED, OPEN, NOT_RUN),
    ),
    # Clipping, point by point.
    row("pro", TRAIN, "Prevents divergence and NaN. {C1}", C1=SUPPORTED),
    row("pro", TRAIN, "Allows larger learning rates. {C2}", C2=SUPPORTED),
    row("pro", TRAIN, "Converges faster. {C3}", C3=SUPPORTED),
    row("pro", TRAIN, "Costs no quality. {C4}", C4=SUPPORTED),
    row("con", TRAIN, "Made more runs diverge. {C1}", C1=REFUTED),
    row("con", TRAIN, "That it prevents divergence could not be shown throughout. {C1}", C1=OPEN),
    row(
        "con",
        TRAIN,
        "Larger rates are no gain by themselves: that they train faster at equal quality is not "
        "shown. {C2}",
        C2=ALONE,
    ),
    row("con", TRAIN, "A larger rate, nominal and effective, could not be shown. {C2}", C2=OPEN),
    row("con", TRAIN, "The largest stable rate got smaller. {C2}", C2=REFUTED),
    row("con", TRAIN, "No faster convergence could be shown. {C3}", C3=OPEN),
    row("con", TRAIN, "Training converged more slowly. {C3}", C3=REFUTED),
    row("con", TRAIN, "Equal quality could not be shown. {C4}", C4=OPEN),
    row("con", TRAIN, "Cost quality. {C4}", C4=REFUTED),
    row("pro", TRAIN, "Essential here: no rate did as well without it. {C5}", C5=SUPPORTED),
    row("con", TRAIN, "Not essential: a well-chosen rate did as well without it. {C5}", C5=REFUTED),
    row("pro", TRAIN, "Does more than simply a lower rate. {K1}", K1=SUPPORTED),
    row("con", TRAIN, "Did worse than simply a lower rate. {K1}", K1=REFUTED),
    row("con", TRAIN, "That it does more than a lower rate could not be shown. {K1}", K1=OPEN),
    row(
        "pro",
        TRAIN,
        "Does not get in the way of the defences. {B2}",
        B1=SUPPORTED,
        B2=SUPPORTED,
    ),
    row(
        "con", TRAIN, "Took accuracy from a defence that it was put together with. {B1}", B1=REFUTED
    ),
    row("con", TRAIN, "Weakened a defence that it was put together with. {B2}", B2=REFUTED),
    row(
        "con",
        TRAIN,
        "One more setting to choose; it says nothing about attackers.",
    ),
    row(
        "use if",
        TRAIN,
        "Your runs meet spikes, NaN or divergence, or you train near the largest rate that holds.",
        C1=SUPPORTED,
    ),
    row(
        "use if",
        TRAIN,
        "Only after a run of your own has shown that it helps: these runs did not throughout.",
        C1=(REFUTED, OPEN),
        C3=UNHELPED,
        C5=UNHELPED,
    ),
    row(
        "use if",
        TRAIN,
        "You look for better figures, as here, and not for fewer lost runs.",
        C1=(REFUTED, OPEN),
        C5=SUPPORTED,
    ),
    row(
        "use if",
        TRAIN,
        "You look for speed, as here, and not for fewer lost runs.",
        C1=(REFUTED, OPEN),
        C3=SUPPORTED,
        C5=UNHELPED,
    ),
    row(
        "use if",
        TRAIN,
        "A run of your own has shown that it helps: none was made here.",
        C1=NOT_RUN,
    ),
    # Masking, point by point.
    row("pro", SECURE, "Stops attackers who follow the gradient. {M1}", M1=SUPPORTED),
    row("pro", SECURE, "Held against the adaptive attack found here. {M2}", M2=SUPPORTED),
    row("con", SECURE, "Did not stop even the plain gradient attacks. {M1}", M1=REFUTED),
    row(
        "con",
        SECURE,
        "Stopping attackers who follow the gradient could not be shown throughout. {M1}",
        M1=OPEN,
    ),
    row(
        "con",
        SECURE,
        "Does not make the model secure: an adaptive attack gets through. {M2}",
        M2=REFUTED,
    ),
    row("con", SECURE, "Security against an adaptive attacker could not be shown. {M2}", M2=OPEN),
    row(
        "con",
        SECURE,
        "Makes the model look robust: an evaluation with plain attacks overstates it.",
        M1=SUPPORTED,
        M2=REFUTED,
    ),
    row("pro", SECURE, "Restores what an attacker takes in these fields. {M3}", M3=SUPPORTED),
    row("con", SECURE, "Does not restore what an attacker takes in these fields. {M3}", M3=REFUTED),
    row(
        "pro", SECURE, "Does more under attack than the accuracy that it costs. {K2}", K2=SUPPORTED
    ),
    row(
        "con",
        SECURE,
        "A net that is as accurate without it stands under attack as well, or better. {K2}",
        K2=REFUTED,
    ),
    row(
        "con",
        SECURE,
        "That it does more under attack than the accuracy that it costs could not be shown. {K2}",
        K2=OPEN,
    ),
    row("con", SECURE, "Does nothing for the stability of training."),
    row(
        "use if",
        SECURE,
        "Only to raise the cost for unskilled attackers, on top of a real defence, never instead "
        "of one.",
        M1=SUPPORTED,
        M2=(REFUTED, OPEN, NOT_RUN),
    ),
    row(
        "use if",
        SECURE,
        "It is audited on your own model and holds there as it did here.",
        M2=SUPPORTED,
    ),
    row(
        "use if",
        SECURE,
        "No use is supported by these runs.",
        M1=(REFUTED, OPEN, NOT_RUN),
        M2=(REFUTED, OPEN, NOT_RUN),
    ),
    # The choice.
    row("bottom line", "both", "For stable training: use {train}.", C1=SUPPORTED),
    row(
        "bottom line",
        "both",
        "For stable training: first lower the rate; {train} made more runs diverge here.",
        C1=REFUTED,
        C3=UNHELPED,
        C5=UNHELPED,
    ),
    row(
        "bottom line",
        "both",
        "For stable training: that {train} helps is not settled over these runs; see by task.",
        C1=OPEN,
        C3=UNHELPED,
        C5=UNHELPED,
    ),
    row(
        "bottom line",
        "both",
        "For training: use {train}, for what it reaches; that it keeps runs alive is not shown.",
        C1=(REFUTED, OPEN),
        C5=SUPPORTED,
    ),
    row(
        "bottom line",
        "both",
        "For training: use {train}, for its speed; that it keeps runs alive is not shown.",
        C1=(REFUTED, OPEN),
        C3=SUPPORTED,
        C5=UNHELPED,
    ),
    row("bottom line", "both", "For stable training: not run.", C1=NOT_RUN),
    row(
        "bottom line",
        "both",
        "For security: do not rely on {secure}; train adversarially. {H2}",
        M2=(REFUTED, OPEN, NOT_RUN),
        H2=SUPPORTED,
    ),
    row(
        "bottom line",
        "both",
        "For security: do not rely on {secure}; no defence tried here is shown to hold.",
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
        "For security: {secure} held here; audit your own model before you rely on it.",
        M2=SUPPORTED,
    ),
)


class Names(NamedTuple):
    """What the page calls the two: within a sentence, and as headings."""

    train: str = "clipping"
    secure: str = "masking"
    train_title: str = "Gradient clipping"
    secure_title: str = "Gradient masking"
    train_what: str = "Scales a training step's gradient down where its norm exceeds a threshold."
    secure_what: str = "Hides a model's input gradient from attackers who would follow it."

    @property
    def places(self) -> dict[str, str]:
        """What stands for {train}, {Secure} and so on in a table."""
        return {
            "train": self.train,
            "Train": sentence(self.train),
            "secure": self.secure,
            "Secure": sentence(self.secure),
        }


PLAIN = Names()


def contender(purpose: str, answers: Mapping[str, Answer], names: Names = PLAIN) -> Contender:
    """One side of the page, that for training or that for security."""
    trains = purpose == TRAIN

    def said(place: str) -> tuple[Point, ...]:
        return points(place, purpose, answers, TABLE, names.places)

    return Contender(
        name=names.train_title if trains else names.secure_title,
        what=names.train_what if trains else names.secure_what,
        pros=said("pro"),
        cons=said("con"),
        use_if=said("use if"),
    )


def summary(answers: Mapping[str, Answer], names: Names = PLAIN) -> tuple[Point, ...]:
    """Three sentences: on each contender, and on the choice."""
    found = (points("summary", a, answers, TABLE, names.places) for a in (TRAIN, SECURE, "both"))
    return tuple(point for some in found for point in some)


def bottom_line(answers: Mapping[str, Answer], names: Names = PLAIN) -> tuple[Point, ...]:
    return points("bottom line", "both", answers, TABLE, names.places)
