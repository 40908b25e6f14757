"""The comparison on any tasks: pilot runs tell threshold and cost, stages fill what time there is.

Each stage is whole, so that every arm has the same rates and seeds; what does not fit is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import floor, log10
from typing import Any, NamedTuple

from gradwarden.attack.pgd import PGD
from gradwarden.clip.advice import Advice, advise
from gradwarden.clip.record import Record, Row
from gradwarden.clip.rule import Rule
from gradwarden.clip.rules.adaptive import Adaptive
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare.defence import Defence, DefenceJob
from gradwarden.compare.executor import WORKERS
from gradwarden.compare.job import Job
from gradwarden.compare.results import Trained
from gradwarden.compare.training import TrainingJob
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Untargeted
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.distillation import Distillation
from gradwarden.mask.jpeg import JPEG
from gradwarden.mask.logit_rounding import LogitRounding
from gradwarden.tasks.task import SecurityTask, TrainingTask

FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)  # of the task's rate
COARSE = FACTORS[::2]
LEAST_SEEDS = 2  # for an interval over seeds
USUAL = 1.0  # the bound of most published code, where norms tell nothing
ADAPTIVE = Adaptive()
HARDENED = "AdversarialTraining"
INNER = PGD(steps=5, step_size=0.5)
# What a run costs beside the undefended one: measured on digits-cnn and breast-cancer, roughly.
COSTS = {BitDepth: 1.5, JPEG: 3.5, LogitRounding: 1.5, Distillation: 2.0, AdversarialTraining: 3.5}


class Stage(NamedTuple):
    """Jobs that are run together or not at all; `what` says which."""

    what: str
    jobs: tuple[Job, ...]


class Fitted(NamedTuple):
    """What fits a budget, in the order of the stages, and what does not."""

    jobs: tuple[Job, ...]
    left: tuple[str, ...]


def training_pilot(task: TrainingTask) -> TrainingJob:
    """The run that is first: clipped by Adaptive, at the task's own rate."""
    return _training(task, 1.0, ADAPTIVE, 0, 1.0)


def security_pilot(task: SecurityTask) -> DefenceJob:
    """The run that is first: without a defence."""
    return DefenceJob(of=task, name="", purpose="none", defence=None, seed=0)


def training_stages(
    task: TrainingTask, rule: MaxNorm, seeds: int, seconds: float
) -> tuple[Stage, ...]:
    """{none, `rule`} on a coarse ladder of rates, on all of it, Adaptive too, then more seeds."""

    def some(
        rules: Sequence[Rule[Any] | None], factors: Sequence[float], which: range
    ) -> tuple[Job, ...]:
        return tuple(
            _training(task, factor, each, seed, seconds)
            for seed in which
            for factor in factors
            for each in rules
        )

    pair, all_three, few = (None, rule), (None, rule, ADAPTIVE), range(LEAST_SEEDS)
    fine = [factor for factor in FACTORS if factor not in COARSE]
    stages = [
        Stage("three rates, without clipping and with the fixed bound", some(pair, COARSE, few)),
        Stage("three rates between and beyond them", some(pair, fine, few)),
        Stage("the rule Adaptive", some([ADAPTIVE], FACTORS, few)),
    ]
    for seed in range(LEAST_SEEDS, seeds):
        runs = some(all_three, FACTORS, range(seed, seed + 1))
        stages.append(Stage(f"seed {seed + 1}", runs))
    return tuple(stages)


def _training(
    task: TrainingTask, factor: float, rule: Rule[Any] | None, seed: int, seconds: float
) -> TrainingJob:
    return TrainingJob(
        of=task,
        optimizer=task.optimizer,
        rate=factor * task.rate,
        rule=rule,
        seed=seed,
        expected=seconds,
    )


def security_stages(task: SecurityTask, seconds: float) -> tuple[Stage, ...]:
    """None, one mask and adversarial training; then the other masks that fit, one by one."""
    first, *others = (_defended(task, "mask", mask, seconds) for mask in masks(task))
    control = replace(security_pilot(task), expected=seconds)
    hardened = _defended(task, "harden", hardening(task), seconds)
    stages = [Stage("no defence, a mask, adversarial training", (control, first, hardened))]
    stages += [Stage(f"the mask {job.name}", (job,)) for job in others]
    return tuple(stages)


def _defended(task: SecurityTask, purpose: str, defence: Defence, seconds: float) -> DefenceJob:
    return DefenceJob(
        of=task,
        name=HARDENED if purpose == "harden" else name_of(defence),
        purpose=purpose,
        defence=defence,
        seed=0,
        expected=COSTS[type(defence)] * seconds,
    )


def name_of(defence: Defence) -> str:
    """Its repr, without the number of epochs, which is the task's."""
    if isinstance(defence, Distillation):
        return f"Distillation(temperature={defence.temperature})"
    return repr(defence)


def masks(task: SecurityTask) -> tuple[Defence, ...]:
    """Those that fit: on the input where x are numbers of one box or images, on the answers always."""
    x, _ = task.held_out()
    low, high = task.threat.box
    always: tuple[Defence, ...] = (
        LogitRounding(),
        Distillation(temperature=20.0, epochs=max(1, task.epochs)),
    )
    if task.threat.constraints is not None or not (
        isinstance(low, float | int) and isinstance(high, float | int)
    ):
        return always
    rounding = BitDepth(bits=3, box=(low, high))
    images = x.ndim == 4 and x.shape[1] in (1, 3) and (low, high) == (0.0, 1.0)
    return (rounding, JPEG(quality=50), *always) if images else (rounding, *always)


def hardening(task: SecurityTask) -> AdversarialTraining:
    """Every sample is moved away from its label, whatever the attacker's goal.

    A goal that only one class has leaves the other where it is or moves it nearer to safety: on
    breast-cancer that training saved nobody (70 % stood with it and without, 85 % this way).
    """
    moved: Threat = replace(task.threat, goal=Untargeted())
    return AdversarialTraining(threat=moved, attack=INNER, epochs=max(1, task.epochs))


def fitted(stages: Sequence[Stage], seconds: float) -> Fitted:
    """The first stage, and the following ones up to where `seconds` on the clock are spent."""
    jobs, left = list(stages[0].jobs), [stage.what for stage in stages[1:]]
    for stage in stages[1:]:
        if sum(job.expected for job in (*jobs, *stage.jobs)) > seconds * WORKERS:
            break
        jobs += stage.jobs
        left.pop(0)
    return Fitted(tuple(jobs), tuple(left))


def advice_on(run: Trained) -> Advice | None:
    """What clip advises from the norms of `run`; None where they are too few."""
    bare = [float("inf")] * len(run.norms)
    rows = tuple(
        Row(step, norm, threshold, coefficient, True, norm * coefficient, loss)
        for step, (norm, threshold, coefficient, loss) in enumerate(
            zip(run.norms, run.thresholds or bare, run.coefficients, run.losses, strict=True)
        )
    )
    record = Record(
        rule=run.rule or "None", version="", optimizer=run.optimizer, parameters=(), rows=rows
    )
    try:
        return advise(record)
    except BadInput:
        return None


def bound(run: Trained) -> MaxNorm:
    """The fixed bound that clip advises from a pilot run, to two digits.

    At most the largest norm that it saw: a bound above is none.
    """
    advice = advice_on(run)
    if advice is None:
        return MaxNorm(USUAL)
    threshold = min(advice.threshold, max(run.norms))
    return MaxNorm(round(threshold, 1 - floor(log10(threshold))))
