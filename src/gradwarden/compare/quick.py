"""The default comparison: which runs it is made of. About two minutes on two cores."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from gradwarden.attack.pgd import PGD
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.clip.rules.zscore import ZScore
from gradwarden.compare.contenders.clipping import Clipping
from gradwarden.compare.defence import Defence, DefenceJob
from gradwarden.compare.growth import GrowthJob
from gradwarden.compare.job import Job
from gradwarden.compare.picks import QUICK
from gradwarden.compare.training import TrainingJob
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.distillation import Distillation
from gradwarden.mask.jpeg import JPEG
from gradwarden.tasks.digits_cnn import DigitsCNN
from gradwarden.tasks.lstm_text import LSTMText

TASKS = (LSTMText.name, DigitsCNN.name)
SGD_RATES = (8.0, 11.0, 16.0, 23.0, 32.0, 45.0)
ADAMW_RATES = (0.03, 0.3)
RELU_RATES = (0.5, 2.0)
PICK = (Clipping(rule=MaxNorm(0.25)),)


def jobs(tasks: Sequence[str], seeds: Sequence[int]) -> list[Job]:
    """Training arms run with every seed; a defence is attacked on one net, image by image."""
    made: list[Job] = []
    if LSTMText.name in tasks:
        made += [job for seed in seeds for job in _text(seed)]
    if DigitsCNN.name in tasks:
        made += _digits(seeds[0])
    return made


def _text(seed: int) -> Iterator[Job]:
    lstm, relu = LSTMText(), LSTMText(cell="relu-rnn")
    for rate in SGD_RATES:
        for arm in ((), PICK):
            yield TrainingJob(of=lstm, optimizer="SGD", rate=rate, treatments=arm, seed=seed)
    for rate in SGD_RATES[3::2]:  # where runs without clipping are lost, the ladder's end included
        for other in (Quantile(), ZScore()):
            arm = (Clipping(rule=other),)
            yield TrainingJob(of=lstm, optimizer="SGD", rate=rate, treatments=arm, seed=seed)
    for rate in ADAMW_RATES:
        for arm in ((), PICK):
            yield TrainingJob(of=lstm, optimizer="AdamW", rate=rate, treatments=arm, seed=seed)
    for rate in RELU_RATES:
        for arm in ((), PICK):
            yield TrainingJob(of=relu, optimizer="SGD", rate=rate, treatments=arm, seed=seed)
    yield GrowthJob(of=lstm, along="length", steps=0, rate=0.0, seed=seed)
    yield GrowthJob(of=lstm, along="length", steps=20, rate=23.0, seed=seed)
    for along in ("length", "depth"):
        yield GrowthJob(of=relu, along=along, steps=0, rate=0.0, seed=seed)
        yield GrowthJob(of=relu, along=along, steps=20, rate=RELU_RATES[-1], seed=seed)


def _digits(seed: int) -> list[Job]:
    task = DigitsCNN()
    bits, jpeg, distilled = QUICK.masks
    training = AdversarialTraining(
        threat=task.threat, attack=PGD(steps=5, step_size=0.5), epochs=task.epochs
    )
    arms: list[tuple[str, str, tuple[Defence, ...], float]] = [
        ("", "none", (), 10.0),
        (bits, "mask", (BitDepth(bits=3),), 15.0),
        (jpeg, "mask", (JPEG(quality=50),), 35.0),
        (distilled, "mask", (Distillation(temperature=20.0, epochs=task.epochs),), 20.0),
        (QUICK.harden, "harden", (training,), 35.0),
    ]
    made = [
        DefenceJob(of=task, name=name, purpose=purpose, defences=each, seed=seed, expected=cost)
        for name, purpose, each, cost in arms
    ]
    both = replace(made[1], name=f"{QUICK.clip} + {bits}", purpose="both", treatments=PICK)
    return [*made, both]
