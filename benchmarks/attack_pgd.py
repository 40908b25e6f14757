"""PGD-40 beside foolbox's LinfPGD: seconds and success as ratios, same weights, same run.

Ours and theirs alternate, so that the machine's other work falls on both. `python
benchmarks/attack_pgd.py` prints the table and keeps it in benchmarks/results/attack_pgd.md; with
`--device cuda`, in attack_pgd_cuda.md, for CIFAR-10's ResNet-18 too: the nets for digits are so small
that a GPU waits for Python.
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
from cifar_resnet import photos, resnet
from torch import Tensor, nn

from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.provenance import environment
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.tasks.digits_cnn import DigitsCNN

TASK = DigitsCNN(images=500, epochs=4)
RESULTS = Path(__file__).parent / "results"
NEAR = 1 / 255  # ball around CIFAR's images
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


def theirs(model: nn.Module, radius: float, device: str) -> Callable[[Tensor, Tensor], Tensor]:
    """foolbox's own scoring of what its attack returns."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        foolbox: Any = import_module("foolbox")
    wrapped = foolbox.PyTorchModel(model, bounds=TASK.threat.box, device=device)
    attack = foolbox.attacks.LinfPGD(steps=40, rel_stepsize=0.1, random_start=True)

    def run(x: Tensor, y: Tensor) -> Tensor:
        success: Tensor = attack(wrapped, x, y, epsilons=radius)[2]
        return success

    return run


def near_photos(net: nn.Module) -> tuple[Tensor, Tensor]:
    """500 images: 20 of CIFAR-10, each 25 times with noise of at most 2/255."""
    x, y = (part.repeat_interleave(25, 0) for part in photos(net))
    noise = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    return (x + (2 * noise - 1) * 2 / 255).clamp(0, 1), y


def line(
    name: str,
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    radius: float,
    rounds: int,
    device: str,
) -> Line:
    """Each answer is read by the host, so that what a device has yet to do is in its time."""
    x, y = (part.to(device) for part in data)
    model = model.to(device)
    run, threat = theirs(model, radius, device), Threat(ball=Linf(radius))
    run(x[:10], y[:10])
    PGD().run(model, x[:10], y[:10], threat)
    seconds: tuple[list[float], list[float]] = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        other = run(x, y).cpu()
        between = time.perf_counter()
        found = PGD().run(model, x, y, threat)
        found.success.cpu()
        seconds[0].append(between - began)
        seconds[1].append(time.perf_counter() - between)
    first, second = map(statistics.median, seconds)
    passes = float((found.forwards + found.backwards).double().mean()) / (2 * 40 + 1)
    mine, others = int(found.success.sum()), int(other.sum())
    return Line(name, first, second / first, others, mine / others, passes)


def render(lines: list[Line], device: str) -> str:
    how = "" if device == "cpu" else f" --device {device}"
    about = (
        f"{TASK.images} images of MNIST, Linf {TASK.radius}, step 0.1 radii, one restart, one thread. "
        "Ratios of medians; passes are those per sample, forward and backward together. "
        f"`python benchmarks/attack_pgd.py{how}`"
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
    if device == "cuda":
        where = f"{torch.cuda.get_device_name()}, {where}"
    return "\n".join([*text, "", where]) + "\n"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    models = [("plain", plain()), ("adversarially trained", hardened())]
    test, radius = TASK.held_out(), TASK.radius
    rows = [(name, model, (test.x, test.y), radius) for name, model in models]
    if options.device == "cuda":
        net = resnet()
        rows.append(
            ("ResNet-18, 500 images near 20 of CIFAR-10, 1/255", net, near_photos(net), NEAR)
        )
    table = [line(*row, options.rounds, options.device) for row in rows]
    text = render(table, options.device)
    print(text)
    RESULTS.mkdir(parents=True, exist_ok=True)
    name = "attack_pgd.md" if options.device == "cpu" else f"attack_pgd_{options.device}.md"
    (RESULTS / name).write_text(text)
