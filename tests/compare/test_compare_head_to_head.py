"""Two contenders for one purpose: every combination of answers has its sentences."""

from __future__ import annotations

from itertools import product

import pytest
from test_compare_verdict import SAID, answers

from gradwarden.compare.head_to_head import (
    FIRST,
    SECOND,
    TABLE,
    bottom_line,
    contender,
    places,
    summary,
)
from gradwarden.compare.sentences import Rule, holds
from gradwarden.core.comparison import Answer

WHERE = places("warm-up", "clipping")
DECIDE = {"training": ("C1", "C3", "C4", "C5"), "security": ("S1", "S2", "M2")}


def found(said: dict[str, str]) -> dict[str, Answer]:
    blank = answers({})["C1"].__dict__
    return {
        id: Answer(**(blank | {"id": id, "answer": a, "says": f"<{id}>"})) for id, a in said.items()
    }


@pytest.mark.parametrize("purpose", DECIDE)
def test_three_sentences_and_two_lines_whatever_the_answers(purpose: str) -> None:
    for said in product(SAID, repeat=len(DECIDE[purpose])):
        some = found(dict(zip(DECIDE[purpose], said, strict=True)))
        points = summary(purpose, some, WHERE)
        assert len(points) == 3
        assert len(bottom_line(purpose, some, WHERE)) == 2
        sides = [contender(purpose + which, "", some, WHERE) for which in (FIRST, SECOND)]
        assert [side.name for side in sides] == ["Warm-up", "Clipping"]
        for side in sides:
            assert len(side.use_if) == 1
            points += side.pros + side.cons + side.use_if
        assert not [point for point in points if "{" in point.text]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: f"{row.place} {row.about} {row.text}"[:60])
def test_every_row_is_reached_and_can_be_missed(row: Rule) -> None:
    said = {id: which[0] for id, which in row.where.items()}
    assert holds(row, found(said))
    for id, accepted in row.where.items():
        other = next(one for one in SAID if one not in accepted)
        assert not holds(row, found(said | {id: other}))


def test_the_first_wins_where_the_claim_holds_and_the_second_where_it_is_refuted() -> None:
    won = summary("training", found({"C1": "supported", "C3": "open"}), WHERE)
    assert won[0].text == "Warm-up loses fewer runs to divergence than clipping: <C1>"
    assert won[2].text == "For stable training: use warm-up."
    lost = summary("training", found({"C1": "refuted", "C3": "open"}), WHERE)
    assert lost[2].text == "For stable training: use clipping."
    second = contender("training" + SECOND, "", found({"C1": "refuted"}), WHERE)
    assert any("fewer runs" in point.text for point in second.pros)


def test_no_row_names_an_arm_or_a_task() -> None:
    names = ["MaxNorm", "JPEG", "BitDepth", "LSTM", "digits", "clipping", "mask"]
    assert not [row.text for row in TABLE for name in names if name.lower() in row.text.lower()]
