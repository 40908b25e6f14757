"""Claims and sentences for the owner of a task, of whose figure more may be better."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from made_up_runs import defended, ladder, lost, trained
from test_compare_verdict import SAID, answers

from gradwarden.compare.claims import a1_attackable, c2_rates, c4_quality, h4_cost, m2_security
from gradwarden.compare.claims.words import points
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.owner import PLACES, TABLE, plain
from gradwarden.compare.picks import SECURE, TRAIN, Picks, Words
from gradwarden.compare.results import Results, Trained
from gradwarden.compare.sentences import Rule, holds
from gradwarden.core.estimate import Estimate

PICKS = Picks(clip="Clip", masks=("MaskA",), harden="Honest", words=Words(higher=True))

# Figures of which more is better


def higher(runs: list[Trained]) -> Ladder:
    (found,) = ladders(runs, higher=True).values()
    return found


def test_more_is_better() -> None:
    runs = [trained(rate=r, validation=v) for r, v in ((1.0, 0.9), (2.0, 0.85), (4.0, 0.8))]
    made = higher([*runs, lost(rate=8.0)])
    assert [made.stable(run) for run in runs] == [True, True, False]  # 0.9 / 1.1 = 0.818
    assert made.chosen("") == 1.0
    below = [
        trained(rate=r, validation=v) for r, v in ((1.0, -100.0), (2.0, -109.0), (4.0, -111.0))
    ]
    assert [higher(below).stable(run) for run in below] == [True, True, False]


@pytest.mark.parametrize(("with_", "answer"), [(0.9, "supported"), (0.8, "refuted")])
def test_c4_of_a_figure_of_which_more_is_better(with_: float, answer: str) -> None:
    def scored(rule: str, value: float) -> list[Trained]:
        return [trained(rule=rule, seed=s, test=value, validation=value) for s in range(5)]

    found = c4_quality.judge(Results(scored("", 0.9) + scored("Clip", with_)), PICKS)
    assert found.answer == answer
    assert "Bits per character on the test split with Clip" in found.says
    negative = c4_quality.judge(Results(scored("", -1.0) + scored("Clip", with_)), PICKS)
    assert negative.answer == "not run"


def test_c2_says_what_stable_asks_for() -> None:
    runs = [
        replace(run, validation=0.5)
        for seed in range(3)
        for rule, edge in (("", 2.0), ("Clip", 8.0))
        for run in ladder(rule, seed, edge)
        if not run.diverged
    ] + [lost(rule=r, rate=16.0, seed=s) for r in ("", "Clip") for s in range(3)]
    assert "at least 1/1.1 times the best" in c2_rates.judge(Results(runs), PICKS).how


# Claims of their own


@pytest.mark.parametrize(
    ("fallen", "answer"), [(50, "supported"), (0, "refuted"), (10, "open"), (14, "open")]
)
def test_a1(fallen: int, answer: str) -> None:
    bits = "0" * fallen + "1" * (100 - fallen)
    found = a1_attackable.judge(Results([defended("", "none", naive=bits, adaptive=bits)]), PICKS)
    assert found.answer == answer
    assert found.effect is not None
    assert found.effect.value == fallen / 100


def test_a1_leaves_out_what_was_wrong_before_and_tells_what_noise_takes() -> None:
    control = defended("", "none", naive="0000", adaptive="0001", clean="0111", noise="0011")
    found = a1_attackable.judge(Results([control]), PICKS)
    assert found.effect is not None
    assert (found.effect.value, found.effect.n) == (2 / 3, 3)
    assert "random noise of the same size takes 1." in found.says


def test_no_minus_before_a_nought() -> None:
    assert points(Estimate(value=-0.004, low=-0.02, high=0.004, n=9)) == "0 points [-2, 0]"


@pytest.mark.parametrize(
    ("hardened", "answer"), [(400, "supported"), (240, "refuted"), (388, "open"), (None, "not run")]
)
def test_h4(hardened: int | None, answer: str) -> None:
    control = defended("", "none", naive="0" * 400, adaptive="0" * 400)
    runs = [control]
    if hardened is not None:
        clean = "1" * hardened + "0" * (400 - hardened)
        runs.append(defended("Honest", "harden", naive=clean, adaptive=clean, clean=clean))
    assert h4_cost.judge(Results(runs), PICKS).answer == answer


def test_nothing_to_save_is_not_open() -> None:
    firm = defended("", "none", naive="1111", adaptive="1111")
    mask = defended("MaskA", "mask", naive="1111", adaptive="1111")
    found = m2_security.judge(Results([firm, mask]), PICKS)
    assert found.answer == "not run"
    assert "no image falls to the adaptive attack" in found.says


# What it means for the owner


@pytest.mark.parametrize("ids", [("C1", "C2"), ("A1", "M1", "M2"), ("H2", "H4")], ids="-".join)
def test_one_sentence_to_each_question_whatever_the_answers(ids: tuple[str, ...]) -> None:
    for said in product(SAID, repeat=len(ids)):
        found = answers(dict(zip(ids, said, strict=True)))
        found |= {id: replace(found["C1"], id=id, answer="open") for id in ("A1", "H4")} | {
            id: replace(found["C1"], id=id, answer=a) for id, a in zip(ids, said, strict=True)
        }
        for purpose in (TRAIN, SECURE):
            sentences = plain(purpose, found)
            assert len(sentences) == len(PLACES[purpose])
            assert not [point for point in sentences if "{" in point.text]


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.text[:40])
def test_every_row_is_reached_and_can_be_missed(row: Rule) -> None:
    alone = any("supported alone" in said for said in row.where.values())
    said = {id: which[0].replace(" alone", "") for id, which in row.where.items()}
    some = answers({}, c2_counts=not alone)
    found = some | {id: replace(some["C1"], id=id, answer=a) for id, a in said.items()}
    found |= {id: replace(found[id], counts=not alone) for id in ("C2",) if id in said}
    assert holds(row, found)
    for id, accepted in row.where.items():
        near = {one.replace(" alone", "") for one in accepted}
        other = next(one for one in SAID if one not in near)
        assert not holds(row, found | {id: replace(found[id], answer=other)})
