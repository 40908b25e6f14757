"""What the answers mean for the owner of a task, by one table: the sentences that a page opens with.

No row names a rule, a mask or a task.
"""

from __future__ import annotations

from collections.abc import Mapping

from gradwarden.compare.picks import SECURE, TRAIN
from gradwarden.compare.sentences import ALONE, NOT_RUN, OPEN, REFUTED, SUPPORTED, Rule, points, row
from gradwarden.compare.verdict import PLAIN, Names
from gradwarden.core.comparison import Answer, Point

UNKNOWN = (OPEN, NOT_RUN)
TABLE: tuple[Rule, ...] = (
    # Should I clip?
    row("clip", TRAIN, "Use {train}: {C1}", C1=SUPPORTED),
    row("clip", TRAIN, "Do without {train}, or with another setting: {C1}", C1=REFUTED),
    row("clip", TRAIN, "Whether {train} keeps training alive here stays open: {C1}", C1=OPEN),
    row("clip", TRAIN, "Whether to use {train} was not put to the test: {C1}", C1=NOT_RUN),
    # What learning rate does it buy?
    row("rate", TRAIN, "{Train} buys a larger learning rate: {C2}", C2=SUPPORTED),
    row(
        "rate",
        TRAIN,
        "{Train} holds a larger learning rate, which is not shown to train faster at equal "
        "quality: {C2}",
        C2=ALONE,
    ),
    row("rate", TRAIN, "{Train} makes the largest rate that holds smaller: {C2}", C2=REFUTED),
    row("rate", TRAIN, "That {train} buys a larger learning rate is not shown: {C2}", C2=OPEN),
    row("rate", TRAIN, "What learning rate {train} buys is not known: {C2}", C2=NOT_RUN),
    # Is my model attackable?
    row("attackable", SECURE, "Your model can be attacked: {A1}", A1=SUPPORTED),
    row("attackable", SECURE, "Hardly anything falls to these attacks: {A1}", A1=REFUTED),
    row("attackable", SECURE, "Whether your model can be attacked stays open: {A1}", A1=OPEN),
    row("attackable", SECURE, "Your model was not attacked: {A1}", A1=NOT_RUN),
    # Does a mask help, and against which attacker?
    row(
        "masks",
        SECURE,
        "{Secure} stops an attacker who follows the gradient, and not one who adapts: {M2}",
        M1=SUPPORTED,
        M2=REFUTED,
    ),
    row(
        "masks",
        SECURE,
        "{Secure} stops an attacker who follows the gradient; whether it stops one who adapts "
        "stays open: {M2}",
        M1=SUPPORTED,
        M2=UNKNOWN,
    ),
    row("masks", SECURE, "{Secure} held against both attackers: {M2}", M2=SUPPORTED),
    row("masks", SECURE, "{Secure} stops neither attacker: {M2}", M1=REFUTED, M2=REFUTED),
    row(
        "masks",
        SECURE,
        "{Secure} is not shown to stop an attacker who adapts, nor throughout one who follows the "
        "gradient: {M1}",
        M1=UNKNOWN,
        M2=REFUTED,
    ),
    row(
        "masks",
        SECURE,
        "Whether {secure} helps stays open: {M2}",
        M1=(REFUTED, *UNKNOWN),
        M2=OPEN,
    ),
    row("masks", SECURE, "{Secure} was not tried: {M2}", M1=(REFUTED, *UNKNOWN), M2=NOT_RUN),
    # What does hardening cost?
    row(
        "hardening",
        SECURE,
        "Adversarial training saves most of what falls, at no cost that shows: {H4}",
        H2=SUPPORTED,
        H4=SUPPORTED,
    ),
    row(
        "hardening",
        SECURE,
        "Adversarial training saves most of what falls, and has its price: {H4}",
        H2=SUPPORTED,
        H4=REFUTED,
    ),
    row(
        "hardening",
        SECURE,
        "Adversarial training saves most of what falls; its price stays open: {H4}",
        H2=SUPPORTED,
        H4=UNKNOWN,
    ),
    row(
        "hardening",
        SECURE,
        "Adversarial training is not shown to save most of what falls: {H4}",
        H2=(REFUTED, OPEN),
    ),
    row("hardening", SECURE, "Hardening was not put to the test: {H2}", H2=NOT_RUN),
)
PLACES = {TRAIN: ("clip", "rate"), SECURE: ("attackable", "masks", "hardening")}


def plain(purpose: str, answers: Mapping[str, Answer], names: Names = PLAIN) -> tuple[Point, ...]:
    """One sentence to each question of `purpose`, TRAIN or SECURE."""
    places = names.places
    found = (points(place, purpose, answers, TABLE, places) for place in PLACES[purpose])
    return tuple(point for some in found for point in some)
