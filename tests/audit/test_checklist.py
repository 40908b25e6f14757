"""Every line of the checklist, in each state that it can have."""

from __future__ import annotations

from typing import Any

import pytest

from gradwarden.audit.checklist import ASKED, Facts, checklist
from gradwarden.core.estimate import proportion
from gradwarden.core.examination import Gate, Item

CLEAN = proportion(98, 100)


def facts(**given: Any) -> Facts:
    options: dict[str, Any] = {"clean": CLEAN, "one_step": 0.6, "iterative": 0.3}
    return Facts(**(options | given))


def line(word: str, **given: Any) -> Item:
    found = [item for item in checklist(facts(**given)) if word in item.question]
    assert len(found) == 1
    return found[0]


def gate(name: str, state: str) -> tuple[Gate, ...]:
    return (Gate(name=name, state=state, says=f"It is {state}."),)


LINES: list[tuple[str, dict[str, Any], bool | None, str]] = [
    ("without attack", {}, True, "98.0 % of 100 samples"),
    ("without attack", {"clean": proportion(0, 100)}, False, "0.0 %"),
    ("many steps", {}, True, "One step leaves 60.0 %, many steps 30.0 %."),
    ("many steps", {"one_step": 0.2}, False, "20.0 %"),
    ("many steps", {"one_step": None}, None, "not run"),
    ("larger radius", {"radii": (0.1, 0.4), "by_radius": (0.9, 0.2)}, True, "0.1 to 0.4"),
    ("larger radius", {"radii": (0.1, 0.4), "by_radius": (0.9, 0.9)}, False, "90.0 % to 90.0 %"),
    ("larger radius", {"radii": (0.1, 0.4), "by_radius": (0.0, 0.0)}, True, "0.0 %"),
    ("larger radius", {}, None, "not measured"),
    ("chance", {"gates": gate("sweep", "green")}, True, "It is green."),
    ("chance", {"gates": gate("sweep", "red")}, False, "It is red."),
    ("chance", {"gates": gate("sweep", "not run")}, None, "It is not run."),
    ("chance", {}, None, "Not run."),
    ("enough steps", {"steps": 40, "restarts": 1}, None, "40 steps, 1 restart. Not run."),
    (
        "enough steps",
        {"steps": 40, "restarts": 5, "gates": gate("converged", "green")},
        True,
        "40 steps, 5 restarts. It is green.",
    ),
    ("needs no gradient", {"gradient_free": "Square"}, True, "Square ran."),
    ("needs no gradient", {}, None, "Not run."),
    ("decisions alone", {"hard_label": "HopSkipJump"}, True, "HopSkipJump ran."),
    ("another model", {"transfer": "A student"}, True, "A student ran."),
    ("that others break", {}, None, "No attack without a gradient"),
    ("that others break", {"missed": 0.0}, True, "0.0 %"),
    ("that others break", {"missed": 0.02}, False, "2.0 %"),
    ("random points", {}, None, "Not run."),
    ("random points", {"noise_draws": 20}, True, "asks for 10000"),
    ("random points", {"noise_draws": 10_000, "noise_missed": 0.01}, False, "1.0 %"),
    ("draws at random", {}, True, "alike every time"),
    ("draws at random", {"stochastic": True, "draws": 16}, True, "16 draws"),
    ("draws at random", {"stochastic": True}, False, "one draw"),
    ("gone around", {}, True, "No module"),
    ("gone around", {"blocked": ("a", ""), "around": ("a", "")}, True, "All: a, the model itself."),
    ("gone around", {"blocked": ("a", "b"), "around": ("a",)}, False, "Not gone around: b."),
    ("worst case", {"attacks": 4}, True, "any of 4 attacks"),
    ("worst case", {"attacks": 1}, False, "any of 1"),
    ("obey the threat", {"gates": gate("constraints", "green")}, True, "It is green."),
    ("for certain", {"gates": gate("binarisation", "red")}, False, "It is red."),
]


@pytest.mark.parametrize(("word", "given", "fine", "says"), LINES)
def test_each_line(word: str, given: dict[str, Any], fine: bool | None, says: str) -> None:
    item = line(word, **given)
    assert item.measured
    assert item.fine is fine
    assert says in item.says


def test_what_only_people_can_answer_stays_open() -> None:
    every = checklist(facts())
    asked = [item for item in every if not item.measured]
    assert [item.question for item in asked] == list(ASKED)
    assert all(item.fine is None and item.says == "" for item in asked)
    assert len(every) - len(asked) >= 11
    assert len({item.question for item in every}) == len(every)
    assert all(item.question.endswith("?") for item in every)
