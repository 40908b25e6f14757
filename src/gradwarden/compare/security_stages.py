"""The plan of a security task: every defence on one net first, then both contenders together, a
control as accurate, and further nets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch

from gradwarden.compare.contenders.adversarial_training import Adversarial
from gradwarden.compare.contenders.contender import Protected, Protection, Treatment, label_of
from gradwarden.compare.defence import DefenceJob
from gradwarden.compare.job import Job
from gradwarden.compare.results import Results
from gradwarden.compare.stage import Stage, several
from gradwarden.core.errors import BadInput
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.distillation import Distillation
from gradwarden.mask.jpeg import JPEG
from gradwarden.mask.logit_rounding import LogitRounding
from gradwarden.tasks.task import SecurityTask

NETS = 3  # seeds of each defence in the end
# What a run costs beside the undefended one: measured on digits-cnn and breast-cancer, roughly.
COSTS = {BitDepth: 1.5, JPEG: 3.5, LogitRounding: 1.5, Distillation: 2.0, AdversarialTraining: 3.5}
DEAR = 3.0  # of another defence


class SecurityArm(NamedTuple):
    """One way to defend the net, perhaps one that a treatment was on when it was trained."""

    protected: Protected
    purpose: str  # as in `Defended`
    treatments: tuple[Treatment, ...] = ()
    beside: tuple[str, ...] = ()  # of both contenders together: each alone that it is held against

    @property
    def name(self) -> str:
        trained = label_of(self.treatments)
        return f"{trained} + {self.protected.name}" if trained else self.protected.name


class SecurityArms(NamedTuple):
    """What a security task is run with, beside the undefended net."""

    judged: tuple[SecurityArm, ...]
    rivals: tuple[SecurityArm, ...]  # of the other contender, where both are for security
    control: tuple[SecurityArm, ...]  # the honest defence, where no contender is it
    both: tuple[SecurityArm, ...]

    @property
    def first(self) -> tuple[SecurityArm, ...]:
        return (*self.judged[:1], *self.rivals[:1], *self.control)

    @property
    def further(self) -> tuple[SecurityArm, ...]:
        return (*self.judged[1:], *self.rivals[1:])


def security_pilot(task: SecurityTask) -> DefenceJob:
    """The run that is first: without a defence."""
    return DefenceJob(of=task, name="", purpose="none", seed=0)


def security_arms(
    sides: Sequence[Protection], task: SecurityTask, treatment: Treatment | None
) -> SecurityArms:
    """`treatment` is the other contender, where that is for training.

    Raises BadInput where a side has nothing for such a task.
    """
    hardened = Adversarial().defences(task)[0]
    first, *others = (_fitting(side, task) for side in sides)
    known = [p.name for p in first]
    second = tuple(p for p in others[0] if p.name not in known) if others else ()
    if others and not second:
        raise BadInput(
            f"task {task.name}: both contenders come to {known[0]}; name two that differ"
        )
    both: tuple[SecurityArm, ...] = ()
    if second:
        alone = (first[0].name, second[0].name)
        both = (SecurityArm(second[0].around(first[0]), "both", beside=alone),)
    elif treatment is not None:
        both = tuple(_together(first[0], hardened, treatment.usual))
    return SecurityArms(
        tuple(SecurityArm(p, "mask") for p in first),
        tuple(SecurityArm(p, "mask") for p in second),
        _control(hardened, (*first, *second)),
        both,
    )


def _fitting(side: Protection, task: SecurityTask) -> tuple[Protected, ...]:
    """Its defences, each tried on two samples. Raises BadInput where one is not for such inputs."""
    found = side.defences(task)
    x, _ = task.held_out()
    model = task.model(0).eval()
    for one in found:
        guarded = model
        for part in one.parts:
            if hasattr(part, "defend"):
                guarded = part.defend(guarded)
        try:
            with torch.no_grad():
                guarded(x[:2])
        except (ValueError, TypeError, RuntimeError) as why:
            line = (str(why).splitlines() or [""])[0]
            raise BadInput(f"task {task.name}: {one.name} is not for such inputs: {line}") from why
    return found


def _control(hardened: Protected, others: Sequence[Protected]) -> tuple[SecurityArm, ...]:
    known = any(other.name == hardened.name for other in others)
    return () if known else (SecurityArm(hardened, "harden"),)


def _together(mask: Protected, hardened: Protected, treatment: Treatment) -> Iterator[SecurityArm]:
    """The mask on a net trained with the treatment; with adversarial training; that with it."""
    yield SecurityArm(mask, "both", (treatment,), (mask.name,))
    if mask.name != hardened.name:
        yield SecurityArm(mask.around(hardened), "both")  # for the table
        yield SecurityArm(hardened, "both", (treatment,), (hardened.name,))


def security_stages(
    task: SecurityTask, arms: SecurityArms, seeds: int, seconds: float
) -> tuple[Stage, ...]:
    """`seconds` is what the undefended run costs."""
    made = partial(_job, task, seconds)
    control = SecurityArm(Protected("", ()), "none")
    first = (control, *arms.first)
    named = ", ".join(arm.name for arm in arms.first)
    stages = [_known(f"no defence, {named}", 0, tuple(made(arm, 0) for arm in first))]
    stages += [_known(arm.name, 1, (made(arm, 0),)) for arm in arms.further]
    if arms.both:
        what = f"{several(len(arms.both), 'arm')} with both contenders or the control"
        stages.append(_known(what, 2, tuple(made(arm, 0) for arm in arms.both), "B1", "B2"))
    if not arms.rivals:  # K2 is about one contender
        as_accurate = partial(_matched, task, seconds, arms.judged[0].name)
        what = "no defence, at the same accuracy"
        stages.append(Stage(what, 4, 1, seconds, as_accurate, DefenceJob.__name__, ("K2",)))
    every = (*first, *arms.further, *arms.both)
    for seed in range(1, min(seeds, NETS)):
        jobs = tuple(made(arm, seed) for arm in every)
        stages.append(_known(f"a further net of each, seed {seed + 1}", 2 + seed, jobs))
    return tuple(sorted(stages, key=lambda stage: stage.rank))


def matched(name: str) -> str:
    """How the page calls the undefended net that is as accurate as the one with `name`."""
    return f"no defence, as accurate as {name}"


def _matched(task: SecurityTask, seconds: float, name: str, found: Results) -> tuple[Job, ...]:
    runs = [run for run in found.defended if run.defence == name and run.seed == 0]
    if not runs or runs[0].validation is None:
        return ()
    return (
        DefenceJob(
            of=task,
            name=matched(name),
            purpose="matched",
            seed=0,
            until=runs[0].validation,
            expected=seconds,
        ),
    )


def _job(task: SecurityTask, seconds: float, arm: SecurityArm, seed: int) -> DefenceJob:
    cost = max((COSTS.get(type(part), DEAR) for part in arm.protected.parts), default=1.0)
    return DefenceJob(
        of=task,
        name=arm.name,
        purpose=arm.purpose,
        defences=arm.protected.parts,
        treatments=arm.treatments,
        seed=seed,
        expected=cost * seconds,
    )


def _known(what: str, rank: int, jobs: tuple[DefenceJob, ...], *claims: str) -> Stage:
    expected = sum(job.expected for job in jobs)
    return Stage(what, rank, len(jobs), expected, lambda _: jobs, DefenceJob.__name__, claims)
