"""The default comparison's shape at a fraction of its size: every kind of run, in seconds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gradwarden.attack.pgd import PGD
from gradwarden.compare import quick
from gradwarden.compare.defence import Defence, DefenceJob
from gradwarden.compare.growth import GrowthJob
from gradwarden.compare.job import Job
from gradwarden.compare.training import TrainingJob
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.mask.distillation import Distillation
from gradwarden.tasks.digits_cnn import DigitsCNN
from gradwarden.tasks.lstm_text import LSTMText

full = quick.jobs
DIGITS = DigitsCNN(images=100, epochs=1)


def jobs(tasks: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    return [job for job in map(_small, full(tasks, seeds)) if job is not None]


def _small(job: Job) -> Job | None:
    if isinstance(job, TrainingJob):
        if job.optimizer == "AdamW" or job.rate not in (0.5, 8.0, 11.0, 45.0):
            return None
        assert isinstance(job.of, LSTMText)
        return replace(job, of=replace(job.of, batch=4, length=8, steps=12, held_out=8))
    if isinstance(job, GrowthJob):
        assert isinstance(job.of, LSTMText)
        small = replace(job.of, batch=4, hidden=8)
        return replace(job, of=small, steps=min(job.steps, 2)) if job.along == "length" else None
    assert isinstance(job, DefenceJob)
    return replace(job, of=DIGITS, defences=tuple(map(_short, job.defences)))


def _short(defence: Defence) -> Defence:
    if isinstance(defence, AdversarialTraining):
        return replace(defence, attack=PGD(steps=1, step_size=1.0), epochs=1)
    return replace(defence, epochs=1) if isinstance(defence, Distillation) else defence
