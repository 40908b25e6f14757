"""One task of a comparison: how it is judged, what is planned of it, and what has been run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gradwarden.compare.contenders.adversarial_training import HARDENED
from gradwarden.compare.contenders.contender import Contender, label_of
from gradwarden.compare.picks import Picks, Words
from gradwarden.compare.results import Results
from gradwarden.compare.security_stages import SecurityArms, matched
from gradwarden.compare.stage import Stage
from gradwarden.compare.training_stages import TrainingArms
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.comparison import Run
from gradwarden.tasks.task import SecurityTask, TrainingTask

FIELDS = ("vehicles", "fraud", "medicine")  # where masking is said to be of use


class Part(NamedTuple):
    task: TrainingTask | SecurityTask
    purpose: str  # TRAIN or SECURE
    picks: Picks
    stages: tuple[Stage, ...]  # that are still to come
    runs: tuple[Run, ...] = ()
    expected: tuple[tuple[str, float], ...] = ()  # seconds by kind of job, of the runs so far
    left: tuple[Stage, ...] = ()  # that did not fit the budget

    @property
    def missing(self) -> str:
        """What was left out, "" for nothing."""
        if self.left and not self.runs:
            return "anything but the pilot run"
        return "; ".join(stage.what for stage in self.left)

    @property
    def results(self) -> Results:
        return Results.of(self.runs)

    def scale(self, kind: str) -> float:
        """What a second that is expected of a job of that kind really takes, so far."""
        expected = dict(self.expected).get(kind, 0.0)
        spent = sum(run.seconds for run in self.runs if KINDS[run.result["kind"]] == kind)
        return spent / expected if expected > 0.0 else 1.0


KINDS = {"Trained": "TrainingJob", "Grown": "GrowthJob", "Defended": "DefenceJob"}


def training_picks(task: TrainingTask, arms: TrainingArms, sides: Sequence[Contender]) -> Picks:
    """The arms that answer, and the task's own words."""
    metric = task.metrics[0]
    words = Words(
        figure=metric.name,
        short=metric.name,
        higher=metric.higher,
        target="" if task.target is None else f"a loss of {task.target:.3g}",
        loss="training loss",
    )
    return Picks(
        clip=label_of(arms.judged),
        masks=(),
        harden="",
        main=(task.net, task.optimizer),
        words=words,
        train=sides[0].noun,
        base=label_of(arms.base),
        other=sides[1].noun if len(sides) > 1 else "",
    )


def security_picks(task: SecurityTask, arms: SecurityArms, sides: Sequence[Contender]) -> Picks:
    x, _ = task.held_out()
    ball, metric = task.threat.ball, task.metrics[0]
    scaled = isinstance(ball, Scaled)
    kind = type(ball.ball if isinstance(ball, Scaled) else ball).__name__
    words = Words(
        figure=metric.name,
        short=metric.name,
        higher=metric.higher,
        sample="image" if x.ndim == 4 else "sample",
        radius=f"radius ({kind}, {'in units of each feature' if scaled else 'in units of x'})",
        field=task.field if task.field in FIELDS else "",
    )
    judged = arms.judged[0].name
    return Picks(
        clip="",
        masks=tuple(arm.name for arm in arms.judged),
        harden=HARDENED,
        words=words,
        secure=sides[0].noun,
        rivals=tuple(arm.name for arm in arms.rivals) or ("",),
        rival=sides[1].noun if len(sides) > 1 else "no defence",
        both=tuple((arm.name, one) for arm in arms.both for one in arm.beside),
        matched=(judged, matched(judged)),
    )
