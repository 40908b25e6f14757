"""Every combination of answers gets its sentences, and every row of the table is reached."""

from collections.abc import Mapping
from itertools import product

import pytest

from gradwarden.compare.picks import QUICK, SECURE, TRAIN
from gradwarden.compare.sentences import Rule, holds
from gradwarden.compare.verdict import TABLE, bottom_line, contender, summary
from gradwarden.core.comparison import Answer

IDS = ("C0", "C1", "C2", "C3", "C4", "C5", "K1", "M1", "M2", "M3", "K2", "H2", "B1", "B2")
SAID = ("supported", "refuted", "open", "not run")
DECIDE = ("C1", "C3", "C5", "M1", "M2", "H2")


def answers(said: Mapping[str, str], *, c2_counts: bool = True) -> dict[str, Answer]:
    return {
        id: Answer(
            id=id,
            claim="",
            answer=said.get(id, "open"),
            says=f"<{id} says>",
            how="",
            effect=None,
            null=0.0,
            smallest=0.0,
            unit="",
            about="",
            counts=c2_counts or id != "C2",
        )
        for id in IDS
    }


@pytest.mark.parametrize("said", list(product(SAID, repeat=3)), ids="-".join)
def test_three_sentences_and_two_lines_whatever_the_answers(said: tuple[str, ...]) -> None:
    for rest in product(SAID, repeat=len(DECIDE) - 3):
        check(dict(zip(DECIDE, said + rest, strict=True)))


def check(said: dict[str, str]) -> None:
    found = answers(said)
    assert len(summary(found)) == 3
    assert len(bottom_line(found)) == 2
    for name in (TRAIN, SECURE):
        side = contender(name, found)
        assert len(side.use_if) == 1
        assert side.cons
    for point in (*summary(found), *bottom_line(found)):
        assert "{" not in point.text


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.text[:40])
def test_every_row_is_reached_and_can_be_missed(row: Rule) -> None:
    alone = any("supported alone" in said for said in row.where.values())
    chosen = {id: said[0].replace(" alone", "") for id, said in row.where.items()}
    assert holds(row, answers(chosen, c2_counts=not alone))
    for id, accepted in row.where.items():
        near = {said.replace(" alone", "") for said in accepted}
        other = next(said for said in SAID if said not in near)
        missed = answers(chosen | {id: other}, c2_counts=not alone)
        assert not holds(row, missed)


def test_c2_is_a_pro_only_where_it_counts() -> None:
    said = {"C2": "supported"}
    with_ = contender(TRAIN, answers(said))
    without = contender(TRAIN, answers(said, c2_counts=False))
    assert any("larger learning rates" in p.text for p in with_.pros)
    assert not any("larger learning rates" in p.text for p in without.pros)
    assert any("no gain by themselves" in p.text for p in without.cons)


def test_what_the_runs_say_is_filled_in() -> None:
    (point,) = [
        p
        for p in summary(answers({"M2": "supported"}))
        if "M2" in p.claims and "C1" not in p.claims
    ]
    assert "<M2 says>" in point.text
    assert point.claims == ("M2",)


def test_no_row_names_an_arm_or_a_task() -> None:
    names = [QUICK.clip, *QUICK.masks, "MaxNorm", "JPEG", "BitDepth", "LSTM", "digits"]
    assert not [row.text for row in TABLE for name in names if name.lower() in row.text.lower()]


def test_an_unknown_claim_counts_as_not_run() -> None:
    assert len(summary({})) == 3
    assert len(bottom_line({})) == 2
