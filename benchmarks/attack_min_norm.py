"""Minimum-norm attacks beside their references: distance, passes and seconds as ratios, same run.

FMN, DDN and Carlini-Wagner beside foolbox's, FAB beside AutoAttack's targeted one, with the same
numbers of steps. `python benchmarks/attack_min_norm.py` prints the table and keeps it in
benchmarks/results/attack_min_norm.md; about two minutes on one core.
"""

from __future__ import annotations

import argparse
import math
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.carlini_wagner import CarliniWagner
from gradwarden.attack.ddn import DDN
from gradwarden.attack.distances import minimum_norm
from gradwarden.attack.fab import FAB
from gradwarden.attack.fmn import FMN
from gradwarden.attack.min_norm import MinimumNorm
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.l1 import L1
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.geometry import Ball
from gradwarden.core.provenance import environment
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.tasks.digits_cnn import DigitsCNN

RESULTS = Path(__file__).parent / "results" / "attack_min_norm.md"
FARTHER = 1.01  # the median distance over the reference's, at most
TARGETS = 3  # classes that either FAB aims at
BALLS: dict[str, Ball] = {"L0": L0(10), "L1": L1(10.0), "L2": L2(1.5), "Linf": Linf(0.1)}

Run = Callable[[nn.Module, Tensor, Tensor], Tensor]  # model, x, y -> the nearest points found


class Counted(nn.Module):
    """Counts the samples that pass forward, and those whose gradient comes back."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.forwards, self.backwards = model, 0, 0

    def forward(self, x: Tensor) -> Tensor:
        self.forwards += len(x)
        if x.requires_grad:
            x.register_hook(self._back)
        logits: Tensor = self.model(x)
        return logits

    def _back(self, grad: Tensor) -> None:
        self.backwards += len(grad)


class Line(NamedTuple):
    model: str
    norm: str
    attack: str
    theirs: float  # median distance
    distance: float  # ratio of medians
    nearer: float  # share of samples where ours is no more than 1 % farther
    forwards: float  # ratio
    backwards: float  # ratio
    their_seconds: float
    seconds: float  # ratio


def library(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return import_module(name)


def of_foolbox(name: str, **options: Any) -> Run:
    def run(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        foolbox = library("foolbox")
        wrapped = foolbox.PyTorchModel(model, bounds=(0.0, 1.0), device="cpu")
        made = getattr(foolbox.attacks, name)(**options)
        found: Tensor = made(wrapped, x, y, epsilons=None)[1]
        return found

    return run


def of_autoattack(norm: str, steps: int) -> Run:
    """The nearest over the classes aimed at, which AutoAttack itself takes one after another."""

    def run(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        attack = library("pyautoattack.fab_pt").FABAttack_PT(
            model, norm=norm, n_iter=steps, eps=99.0, n_target_classes=TARGETS, device="cpu", seed=0
        )
        best, nearest = x, torch.full((len(x),), math.inf, dtype=torch.float64)
        for target in range(2, TARGETS + 2):
            attack.target_class = target
            made = attack.attack_single_run(x, y, use_rand_start=False, is_targeted=True)
            size = distances(model, BALLS[norm], made, x, y)
            best = made.where((size < nearest).view(-1, 1, 1, 1), best)
            nearest = nearest.minimum(size)
        return best

    return run


def distances(model: nn.Module, ball: Ball, x_adv: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """0 where x itself is missed, infinite where x_adv is not."""
    size = ball.size(x_adv.double() - x.double()).masked_fill(model(x_adv).argmax(1) == y, math.inf)
    return size.masked_fill(model(x).argmax(1) != y, 0.0)


def pairs() -> list[tuple[str, MinimumNorm, Run]]:
    """Norm, ours, theirs."""
    found: list[tuple[str, MinimumNorm, Run]] = []
    for norm in BALLS:
        name = "LInf" if norm == "Linf" else norm
        found.append((norm, FMN(steps=100), of_foolbox(f"{name}FMNAttack", steps=100)))
        if norm != "L0":
            found.append((norm, FAB(steps=50, targets=TARGETS), of_autoattack(norm, 50)))
    found.append(("L2", DDN(steps=100), of_foolbox("DDNAttack", steps=100)))
    options = {"steps": 100, "binary_search_steps": 9, "stepsize": 0.01}
    found.append(
        ("L2", CarliniWagner(steps=100), of_foolbox("L2CarliniWagnerAttack", **options)),
    )
    return found


def line(
    name: str, model: nn.Module, data: tuple[Tensor, Tensor], pair: tuple[str, MinimumNorm, Run]
) -> Line:
    (x, y), (norm, attack, run) = data, pair
    ball, counted = BALLS[norm], Counted(model).eval()
    began = time.perf_counter()
    made = run(counted, x, y)
    between = time.perf_counter()
    found = attack.nearest(model, x, y, Threat(ball=ball))
    ended = time.perf_counter()
    theirs, mine = distances(model, ball, made, x, y), found.size
    median = float(theirs.median())
    return Line(
        name,
        norm,
        f"{type(attack).__name__} / {'AutoAttack' if isinstance(attack, FAB) else 'foolbox'}",
        median,
        float(mine.median()) / median,
        float((mine <= theirs * FARTHER).double().mean()),
        int(found.forwards.sum()) / counted.forwards,
        int(found.backwards.sum()) / counted.backwards,
        between - began,
        (ended - between) / (between - began),
    )


def plain() -> nn.Module:
    task = DigitsCNN(epochs=4)
    model = task.model(0)
    optimizer = task.optimizer(model)
    for _ in range(task.epochs):
        for x, y in task.loader(0):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


def hardened() -> nn.Module:
    task = DigitsCNN(epochs=4)
    model = task.model(0)
    trainer = AdversarialTraining(threat=task.threat, epochs=task.epochs)
    return trainer.fit(model, task.loader(0), task.optimizer(model)).eval()


def render(lines: list[Line], curves: list[str], images: int) -> str:
    about = (
        f"{images} MNIST images, one thread; Linf training radius 0.1. Ratios are ours over "
        "theirs, distances are medians (0 where wrong from the start); nearer: share of samples "
        "where ours is at most 1 % farther. Steps are the same, other options each one's defaults, of "
        "which Carlini-Wagner's rate and start at the box's ends count most. `python benchmarks/attack_min_norm.py`"
    )
    columns = (
        "model, ball, ours / theirs, their distance, distance, target, nearer, forwards, "
        "backwards, their s, seconds, "
    )
    head = "| " + columns.replace(", ", " | ") + "|"
    text = ["# Minimum-norm attacks over their references", "", about, "", head, "|---" * 12 + "|"]
    for row in lines:
        met = "met" if row.distance <= FARTHER else "**missed**"
        text.append(
            f"| {row.model} | {row.norm} | {row.attack} | {row.theirs:.3f} | {row.distance:.3f} | "
            f"at most {FARTHER:.2f} | {row.nearer:.2f} | {row.forwards:.2f} | {row.backwards:.2f} "
            f"| {row.their_seconds:.1f} | {row.seconds:.2f} | {met} |"
        )
    where = ", ".join(f"{k} {v}" for k, v in environment(("torch", "foolbox")).items())
    return "\n".join([*text, "", *curves, "", where]) + "\n"


def curve(name: str, model: nn.Module, data: tuple[Tensor, Tensor]) -> str:
    """Accuracies at some radii, from one minimum-norm run."""
    found = minimum_norm(model, *data, Threat(ball=Linf(0.1)))
    radii = (0.0, 0.05, 0.1, 0.15, 0.2)
    told = ", ".join(f"{found.accuracy(r).value:.2f} at {r:g}" for r in radii)
    per = (found.forwards / len(data[0]), found.backwards / len(data[0]))
    return (
        f"- {name}, Linf, one run of `minimum_norm`: accuracy {told}; {per[0]:.0f} forwards and "
        f"{per[1]:.0f} backwards a sample"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50)
    options = parser.parse_args()
    torch.set_num_threads(1)
    split = DigitsCNN(images=options.images).held_out()
    models = [("plain", plain()), ("adversarially trained", hardened())]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        table = [
            line(name, model, (split.x, split.y), pair)
            for name, model in models
            for pair in pairs()
        ]
    curves = [curve(name, model, (split.x, split.y)) for name, model in models]
    text = render(table, curves, options.images)
    print(text)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text)
