"""PGD-40 beside foolbox's LinfPGD: seconds and success as ratios, same weights, same run.

Ours and theirs alternate, so that the machine's other work falls on both. `python
benchmarks/attack_pgd.py` prints the table and keeps it in benchmarks/results/attack_pgd.md.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.pgd import PGD
from gradwarden.core.provenance import environment
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.tasks.digits_cnn import DigitsCNN

TASK = DigitsCNN(images=500, epochs=4)
RESULTS = Path(__file__).parent / "results" / "attack_pgd.md"
TARGETS = (1.0, 1.0)  # seconds at most, broken samples at least, as ratios to foolbox


class Line(NamedTuple):
    model: str
    theirs: float  # seconds
    seconds: float  # ratio
    theirs_broken: int
    broken: float  # ratio
    passes: float  # ours over theirs, forward and backward together


def plain() -> nn.Module:
    model = TASK.model(0)
    optimizer = TASK.optimizer(model)
    for _ in range(TASK.epochs):
        for x, y in TASK.loader(0):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


def hardened() -> nn.Module:
    model = TASK.model(0)
    trainer = AdversarialTraining(threat=TASK.threat, epochs=TASK.epochs)
    return trainer.fit(model, TASK.loader(0), TASK.optimizer(model))


def theirs(model: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    """foolbox's own scoring of what its attack returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox: Any = import_module("foolbox")
    wrapped = foolbox.PyTorchModel(model, bounds=TASK.threat.box, device="cpu")
    attack = foolbox.attacks.LinfPGD(steps=40, rel_stepsize=0.1, random_start=True)

    def run(x: Tensor, y: Tensor) -> Tensor:
        success: Tensor = attack(wrapped, x, y, epsilons=TASK.radius)[2]
        return success

    return run


def line(name: str, model: nn.Module, rounds: int) -> Line:
    x, y = TASK.held_out()
    run = theirs(model)
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        other = run(x, y)
        between = time.perf_counter()
        found = PGD().run(model, x, y, TASK.threat)
        seconds[0].append(between - began)
        seconds[1].append(time.perf_counter() - between)
    first, second = map(statistics.median, seconds)
    passes = float((found.forwards + found.backwards).double().mean()) / (2 * 40 + 1)
    mine, others = int(found.success.sum()), int(other.sum())
    return Line(name, first, second / first, others, mine / others, passes)


def render(lines: list[Line]) -> str:
    about = (
        f"{TASK.images} MNIST images, Linf {TASK.radius}, step 0.1 radii, one restart, one thread. "
        "Ratios of medians; passes are those per sample, forward and backward together. "
        "`python benchmarks/attack_pgd.py`"
    )
    columns = "model, foolbox s, seconds, target, foolbox broke, broken, target, passes, "
    head = "| " + columns.replace(", ", " | ") + "|"
    text = ["# PGD-40 over foolbox's LinfPGD", "", about, "", head, "|---" * 9 + "|"]
    for row in lines:
        met = "met" if row.seconds <= TARGETS[0] and row.broken >= TARGETS[1] else "**missed**"
        text.append(
            f"| {row.model} | {row.theirs:.2f} | {row.seconds:.2f} | at most "
            f"{TARGETS[0]:.2f} | {row.theirs_broken} | {row.broken:.3f} | at least "
            f"{TARGETS[1]:.2f} | {row.passes:.2f} | {met} |"
        )
    where = ", ".join(f"{k} {v}" for k, v in environment(("torch", "foolbox")).items())
    return "\n".join([*text, "", where]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = [("plain", plain()), ("adversarially trained", hardened())]
    table = [line(name, model, options.rounds) for name, model in models]
    text = render(table)
    print(text)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text)
