"""The plan for any task: stages that are whole, a budget that is kept, arms and masks that fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from made_up_runs import lost, trained
from own_tasks import Flags, Slope

from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare import runs as runs_module
from gradwarden.compare.between import between
from gradwarden.compare.claims.k1_lower_rate import effective_rate
from gradwarden.compare.contenders.adversarial_training import hardening
from gradwarden.compare.contenders.clipping import ADAPTIVE, USUAL, Clipping, bound
from gradwarden.compare.contenders.contender import label_of
from gradwarden.compare.contenders.masking import Masking, masks
from gradwarden.compare.defence import DefenceJob
from gradwarden.compare.executor import OnResult
from gradwarden.compare.job import Job, fingerprint, settings
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.part import Part
from gradwarden.compare.plan import carried_out, planned
from gradwarden.compare.results import Results, Trained
from gradwarden.compare.runs import Runs
from gradwarden.compare.security_stages import matched, security_arms, security_stages
from gradwarden.compare.stage import Stage
from gradwarden.compare.store import Store
from gradwarden.compare.subjects import Subjects
from gradwarden.compare.training import TrainingJob
from gradwarden.compare.training_stages import (
    TrainingArms,
    edge,
    training_arms,
    training_pilot,
    training_stages,
    window,
)
from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Untargeted
from gradwarden.core.threat import Threat
from gradwarden.tasks.breast_cancer import BreastCancer
from gradwarden.tasks.loader import Split

FIXED = Clipping(rule=MaxNorm(2.0))
ARMS = TrainingArms((FIXED,), (), ((ADAPTIVE,),), ((Clipping(rule=MaxNorm(9.0)),),))
PAIR = between("clipping,masking")


def stable_until(*edges: tuple[str, float], rates: Sequence[float]) -> list[Trained]:
    """Two seeds of each arm, stable up to its edge."""
    return [
        (trained if rate <= edge else lost)(net="net", rule=rule, rate=rate, seed=seed)
        for rule, edge in edges
        for rate in rates
        for seed in range(2)
    ]


def jobs_of(stage: Stage, found: Sequence[Trained] = ()) -> list[TrainingJob]:
    made = stage.jobs(Results(found))
    assert all(isinstance(job, TrainingJob) for job in made)
    return [job for job in made if isinstance(job, TrainingJob)]


def by_what(start: str) -> Stage:
    stages = training_stages(Slope(), ARMS, 5, 1.0)
    (found,) = [stage for stage in stages if stage.what.startswith(start)]
    return found


def cells(jobs: Sequence[TrainingJob]) -> set[tuple[str, float, int]]:
    assert len({(job.label, job.rate, job.seed) for job in jobs}) == len(jobs)
    return {(job.label, job.rate, job.seed) for job in jobs}


# Training


def test_the_ladder_first_and_the_pilot_is_one_of_its_runs() -> None:
    stages = training_stages(Slope(), ARMS, 5, 9.0)
    assert [stage.rank for stage in stages] == sorted(stage.rank for stage in stages)
    first = cells(jobs_of(stages[0]))
    rates = {0.02, 0.04, 0.08, 0.16}
    assert first == {(a, r, s) for a in ("", FIXED.label) for r in rates for s in (0, 1)}
    assert stages[0].number == len(first) == 16
    beside = jobs_of(stages[1])
    assert replace(training_pilot(Slope()), expected=9.0) in beside
    assert sum(stage.number for stage in stages) >= 16 + 8


@pytest.mark.parametrize(
    ("bare", "clipped", "factors"),
    [(0.04, 0.08, []), (0.04, 0.16, [8, 16]), (0.01, 0.08, [0.125, 0.25]), (0.01, 0.16, None)],
)
def test_rates_past_the_end_where_an_edge_lies_there(
    bare: float, clipped: float, factors: list[float] | None
) -> None:
    rates = (0.02, 0.04, 0.08, 0.16)
    found = [
        replace(run, validation=2.0 - run.rate) if run.validation is not None else run
        for run in stable_until(("", bare), (FIXED.label, clipped), rates=rates)
    ]
    made = jobs_of(by_what("rates past"), found)
    wanted = [0.125, 0.25, 8, 16] if factors is None else factors
    assert sorted({job.rate for job in made}) == pytest.approx([0.04 * f for f in wanted])
    assert len(made) == len(wanted) * 3 * 2


def test_further_seeds_between_the_best_rates_and_one_past_the_edges() -> None:
    rates = (0.02, 0.04, 0.08, 0.16, 0.32)
    found = [
        replace(run, validation=2.0 if run.rate == 0.04 else 2.1)
        if run.validation is not None
        else run
        for run in stable_until(("", 0.04), (FIXED.label, 0.08), rates=rates)
    ]
    made = jobs_of(by_what("seeds 3"), found)
    assert {job.rate for job in made} == {0.04, 0.08, 0.16}
    assert {job.seed for job in made} == {2, 3, 4}
    assert {job.label for job in made} == {"", FIXED.label, ADAPTIVE.label}
    assert window(one_ladder(found), "", FIXED.label) == [0.04, 0.08, 0.16]
    assert edge(one_ladder(found), "", FIXED.label) == [0.04, 0.08]


def one_ladder(runs: list[Trained]) -> Ladder:
    (found,) = ladders(runs).values()
    return found


def test_controls_stand_around_the_edge_and_at_the_effective_rate() -> None:
    rates = (0.02, 0.04, 0.08, 0.16)
    found = stable_until(("", 0.04), (FIXED.label, 0.08), rates=rates)
    found = [replace(r, coefficients=(0.5,) * len(r.coefficients)) if r.rule else r for r in found]
    others = jobs_of(by_what("1 other treatment"), found)
    assert cells(others) == {(repr(MaxNorm(9.0)), r, s) for r in (0.04, 0.08) for s in (0, 1)}
    lower = jobs_of(by_what("no treatment at"), found)
    chosen = one_ladder(found).chosen(FIXED.label)
    assert chosen is not None
    rate = effective_rate([r for r in found if r.rule and r.rate == chosen])
    assert rate == chosen / 2
    done = {(run.rate, run.seed) for run in found if not run.rule}
    assert cells(lower) == {("", rate, s) for s in (0, 1) if (rate, s) not in done}


def test_episodes_ask_for_seeds() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Episodes(Slope):
        episodic = True

    stages = training_stages(Episodes(), ARMS, 5, 1.0)
    jobs = [job for stage in stages for job in jobs_of(stage)]
    assert len(jobs) == 3 * 2 * 5
    assert {job.rate for job in jobs} == {0.04, 0.16}


def test_arms_of_two_for_training() -> None:
    pair = between("MaxNorm(0.5),warm-up")
    made = training_arms(pair.sides("training"), Slope(), trained())  # type: ignore[arg-type]
    labels = [label_of(arm) for arm in (made.judged, made.base, *made.beside)]
    one, two = "MaxNorm(max_norm=0.5)", "warm-up over 10%"
    assert labels == [one, two, "", f"{one} + {two}"]
    alone = training_arms(between("nothing,warm-up").sides("training"), Slope(), trained())  # type: ignore[arg-type]
    assert [label_of(arm) for arm in (alone.judged, alone.base)] == [two, ""]


def run_of(norms: list[float]) -> Trained:
    n = len(norms)
    return trained(norms=tuple(norms), losses=(1.0,) * n, coefficients=(1.0,) * n)


def test_the_bound_is_what_clip_advises_and_never_above_what_was_seen() -> None:
    steady = bound(run_of([1.0, 1.1, 0.9, 1.0] * 20)).max_norm
    assert 1.0 < steady <= 1.1
    assert steady == float(f"{steady:.2g}")
    assert bound(run_of([10.0**-k for k in range(40)])).max_norm <= 1.0
    assert bound(run_of([5.0] * 31)) == MaxNorm(USUAL)


def test_a_field_that_has_its_own_bound() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Bounded(Slope):
        bound = 0.5

    assert Clipping().fitted(Bounded(), trained()).rule == MaxNorm(0.5)
    assert FIXED.fitted(Bounded(), trained()) == FIXED


# Security


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
    return [type(mask).__name__ for mask in masks(task)]


def test_masks_that_fit_the_domain() -> None:
    always = ["LogitRounding", "Distillation"]
    assert names(Pictures()) == ["BitDepth", "JPEG", *always]
    assert names(Pictures(pixels=(2, 4, 4))) == ["BitDepth", *always]
    assert names(Pictures(low=-1.0)) == ["BitDepth", *always]
    assert names(Flags()) == ["BitDepth", *always]
    assert names(BreastCancer()) == always  # a table in units of each column


def test_hardening_moves_every_sample_whatever_the_goal() -> None:
    assert hardening(Flags()).threat.goal == Untargeted()
    assert hardening(Flags(epochs=7)).epochs == 7


def test_every_arm_of_security_on_every_net() -> None:
    arms = security_arms([Masking()], Flags(), Clipping())
    stages = security_stages(Flags(), arms, 5, 1.0)
    assert [stage.rank for stage in stages] == sorted(stage.rank for stage in stages)
    known: list[DefenceJob] = []
    for stage in stages:
        if "same accuracy" not in stage.what:
            known += [job for job in stage.jobs(Results([])) if isinstance(job, DefenceJob)]
    by_seed = {seed: {job.name for job in known if job.seed == seed} for seed in range(3)}
    assert by_seed[0] == by_seed[1] == by_seed[2]
    assert len(known) == 3 * len(by_seed[0])
    hard, rule = "AdversarialTraining", "MaxNorm(max_norm=1.0)"
    mask = "BitDepth(bits=3)"
    assert {"", mask, hard, f"{hard} + {mask}", f"{rule} + {mask}", f"{rule} + {hard}"} <= by_seed[
        0
    ]
    assert {(arm.name, arm.beside) for arm in arms.both} == {
        (f"{rule} + {mask}", (mask,)),
        (f"{hard} + {mask}", ()),
        (f"{rule} + {hard}", (hard,)),
    }


def test_arms_of_two_for_security() -> None:
    pair = between("BitDepth(bits=2),adversarial-training")
    arms = security_arms(pair.sides("security"), Flags(), None)  # type: ignore[arg-type]
    assert [arm.name for arm in (*arms.judged, *arms.rivals)] == [
        "BitDepth(bits=2)",
        "AdversarialTraining",
    ]
    assert arms.control == ()
    assert [type(part).__name__ for part in arms.both[0].protected.parts] == [
        "BitDepth",
        "AdversarialTraining",
    ]


def test_the_control_is_trained_until_it_is_as_accurate() -> None:
    arms = security_arms([Masking()], Flags(), Clipping())
    (stage,) = [s for s in security_stages(Flags(), arms, 2, 1.0) if "same accuracy" in s.what]
    assert stage.jobs(Results([])) == ()
    name = arms.judged[0].name
    run = replace(defended_run(), defence=name, validation=0.9)
    (job,) = stage.jobs(Results([run]))
    assert isinstance(job, DefenceJob)
    assert (job.name, job.until, job.defences) == (matched(name), 0.9, ())


def defended_run() -> Any:
    from made_up_runs import defended

    return defended("", "none", naive="11", adaptive="11")


# The budget


RAN: dict[str, dict[str, Any]] = {}  # the same runs serve every test here


class Costs:
    """Instead of worker processes: every run costs what `of` says, on a clock of its own."""

    def __init__(self, of: Callable[[Job], float]) -> None:
        self.of, self.now, self.waves = of, 0.0, list[list[Job]]()

    def __call__(self, jobs: Sequence[Job], on_result: OnResult, *_: object) -> None:
        self.waves.append(list(jobs))
        for job in jobs:
            cost = self.of(job)
            self.now += cost / 2
            key = fingerprint(settings(job))
            if key not in RAN:
                RAN[key] = job.run()
            on_result(job, cost, RAN[key])


def within(
    minutes: float, cost: Callable[[Job], float], tmp_path: Path, *, least: bool = True
) -> tuple[list[Part], Costs, list[str]]:
    costs, notes = Costs(cost), list[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs_module, "execute", costs)
        patch.setattr("time.monotonic", lambda: costs.now)
        runs = Runs(Store(tmp_path / "runs"), None, notes.append)
        subjects = Subjects((Slope(),), (Flags(samples=8),), ())
        parts, _ = planned(subjects, PAIR, runs, 3)
        return carried_out(parts, PAIR, runs, 60 * minutes, least=least), costs, notes


def test_a_budget_takes_whole_stages_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    """Pilots: 1 s on two workers. Then 8 s for the ladder of rates, 2 s for the first defences."""
    parts, costs, notes = within(12 / 60, lambda _: 1.0, tmp_path)
    slope, flags = parts
    assert costs.now <= 12.0
    assert (len(slope.runs), len(flags.runs)) == (16, 3 + 2 + 1)
    assert "Adaptive" in slope.missing
    assert "both contenders" in flags.missing
    assert any(
        note.startswith("2 tasks: four rates, two seeds and 1 other stage") for note in notes
    )


def test_without_time_each_named_task_has_its_first_stage_and_of_all_none(tmp_path: Path) -> None:
    parts, _, _ = within(0.01, lambda _: 1.0, tmp_path)
    assert [len(part.runs) for part in parts] == [16, 3]
    none, _, _ = within(0.01, lambda _: 1.0, tmp_path / "all", least=False)
    assert [(len(part.runs), part.missing) for part in none] == [
        (0, "anything but the pilot run")
    ] * 2


@pytest.mark.slow
def test_stages_by_what_the_runs_did_cost_and_not_the_pilot(tmp_path: Path) -> None:
    """The pilots load for 10 s; the ladder is expected at 80 s, and takes 0.8 s."""
    first: set[str] = set()

    def cost(job: Job) -> float:
        pilot = job.task not in first
        first.add(job.task)
        return 10.0 if pilot else 0.1

    parts, costs, _ = within(2.0, cost, tmp_path)
    assert [part.left for part in parts] == [(), ()]
    assert costs.now < 60.0


def test_the_ranks_of_all_tasks_come_in_turn(tmp_path: Path) -> None:
    _, costs, _ = within(5.0, lambda _: 0.1, tmp_path)
    pilots, ladder, *_ = costs.waves
    assert {job.task for job in pilots} == {job.task for job in ladder} == {"slope", "flags"}
    assert len(costs.waves) <= 7
