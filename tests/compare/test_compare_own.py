"""The plan for any task: stages that are whole, a budget, a bound from the pilot, masks that fit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
import torch
from made_up_runs import defended, ladder, lost, trained
from own_tasks import Flags, Slope
from test_compare_verdict import SAID, answers

from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare import own
from gradwarden.compare.claims import a1_attackable, c2_rates, c4_quality, h4_cost, m2_security
from gradwarden.compare.claims.words import points
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.own_verdict import PLACES, SECURE, TABLE, TRAIN, plain
from gradwarden.compare.picks import Picks, Words
from gradwarden.compare.pooled import pooled
from gradwarden.compare.results import Results, Trained
from gradwarden.compare.training import TrainingJob
from gradwarden.compare.verdict import Rule, holds
from gradwarden.core.balls.linf import Linf
from gradwarden.core.comparison import Answer
from gradwarden.core.estimate import Estimate
from gradwarden.core.goal import Untargeted
from gradwarden.core.threat import Threat
from gradwarden.tasks.breast_cancer import BreastCancer
from gradwarden.tasks.loader import Split

PICKS = Picks(clip="Clip", masks=("MaskA",), harden="Honest", words=Words(higher=True))

# The plan


def arms(jobs: tuple[Any, ...]) -> set[tuple[str, float, int]]:
    assert all(isinstance(job, TrainingJob) for job in jobs)
    return {(repr(job.rule), job.rate, job.seed) for job in jobs}


def test_after_each_stage_every_arm_has_the_same_seeds_at_each_of_its_rates() -> None:
    stages = own.training_stages(Slope(), MaxNorm(2.0), 5, 1.0)
    jobs: tuple[Any, ...] = ()
    for stage in stages:
        assert stage.jobs
        jobs += stage.jobs
        seen = arms(jobs)
        assert len(seen) == len(jobs)
        for rule in {rule for rule, _, _ in seen}:
            mine = {(rate, seed) for r, rate, seed in seen if r == rule}
            rates, seeds = {rate for rate, _ in mine}, {seed for _, seed in mine}
            assert mine == set(product(rates, seeds))
            assert len(seeds) >= 2
    assert len(seen) == 3 * 6 * 5
    (first, *_) = own.training_stages(Slope(), MaxNorm(2.0), 2, 1.0)
    assert {rate for _, rate, _ in arms(first.jobs)} == {0.01, 0.04, 0.16}


def test_the_pilot_is_one_of_the_runs() -> None:
    pilot = own.training_pilot(Slope())
    planned = [j for s in own.training_stages(Slope(), MaxNorm(2.0), 2, 9.0) for j in s.jobs]
    assert replace(pilot, expected=9.0) in planned
    control = own.security_pilot(Flags())
    assert replace(control, expected=9.0) == own.security_stages(Flags(), 9.0)[0].jobs[0]


@pytest.mark.parametrize(
    ("seconds", "stages"),
    [(0.1, 1), (6.0, 1), (11.9, 1), (12.0, 2), (18.0, 3), (27.0, 4), (1e6, 6)],
)
def test_a_budget_takes_whole_stages_and_the_first_in_any_case(seconds: float, stages: int) -> None:
    """Two workers: 12 jobs of 1 s are 6 s on the clock; then 12, 12, and 18 for each seed more."""
    planned = own.training_stages(Slope(), MaxNorm(2.0), 5, 1.0)
    found = own.fitted(planned, seconds)
    assert found.jobs == tuple(job for stage in planned[:stages] for job in stage.jobs)
    assert found.left == tuple(stage.what for stage in planned[stages:])


def run_of(norms: list[float]) -> Trained:
    n = len(norms)
    return trained(norms=tuple(norms), losses=(1.0,) * n, coefficients=(1.0,) * n)


def test_the_bound_is_what_clip_advises_and_never_above_what_was_seen() -> None:
    steady = own.bound(run_of([1.0, 1.1, 0.9, 1.0] * 20)).max_norm
    assert 1.0 < steady <= 1.1
    assert steady == float(f"{steady:.2g}")
    assert own.bound(run_of([10.0**-k for k in range(40)])).max_norm <= 1.0
    assert own.bound(run_of([5.0] * 31)) == MaxNorm(own.USUAL)


@dataclass(frozen=True, kw_only=True)
class Pictures(Flags):
    pixels: tuple[int, ...] = (1, 4, 4)
    low: float = 0.0

    @property
    def threat(self) -> Threat:
        return Threat(ball=Linf(0.1), box=(self.low, 1.0))

    def held_out(self) -> Split:
        return Split(torch.zeros(3, *self.pixels), torch.zeros(3, dtype=torch.int64))


def names(task: Any) -> list[str]:
    return [type(mask).__name__ for mask in own.masks(task)]


def test_masks_that_fit_the_domain() -> None:
    always = ["LogitRounding", "Distillation"]
    assert names(Pictures()) == ["BitDepth", "JPEG", *always]
    assert names(Pictures(pixels=(2, 4, 4))) == ["BitDepth", *always]
    assert names(Pictures(low=-1.0)) == ["BitDepth", *always]
    assert names(Flags()) == ["BitDepth", *always]
    assert names(BreastCancer()) == always  # a table in units of each column


def test_hardening_moves_every_sample_whatever_the_goal() -> None:
    assert own.hardening(Flags()).threat.goal == Untargeted()
    assert own.hardening(Flags(epochs=7)).epochs == 7


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
    ("hardened", "answer"), [(100, "supported"), (60, "refuted"), (97, "open"), (None, "not run")]
)
def test_h4(hardened: int | None, answer: str) -> None:
    control = defended("", "none", naive="0" * 100, adaptive="0" * 100)
    runs = [control]
    if hardened is not None:
        clean = "1" * hardened + "0" * (100 - hardened)
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


def about(said: str) -> dict[str, Answer]:
    return {"C1": replace(answers({"C1": said})["C1"], about="clipping")}


def test_pooled_over_tasks() -> None:
    yes, no, none = (about(said) for said in ("supported", "refuted", "not run"))
    assert pooled(["a", "b"], [yes, no])["C1"].answer == "open"
    both = pooled(["a", "b"], [yes, yes])["C1"]
    assert both.answer == "supported"
    assert [part.id for part in both.parts] == ["C1, a", "C1, b"]
    assert "a: <C1 says> b: <C1 says>" in both.says
    alone = pooled(["a", "b"], [none, no])["C1"]
    assert (alone.answer, alone.parts) == ("refuted", ())
    assert pooled(["a", "b"], [none, none])["C1"].answer == "not run"
