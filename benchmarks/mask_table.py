"""What each mask does to attackers who follow its gradient, and to one who knows it.

`python benchmarks/mask_table.py` trains small nets on MNIST, puts every mask that takes images to
them, attacks, and keeps the table in benchmarks/results/mask_table.md. Under five minutes on one
core of an idle machine. Nothing is tuned for a figure: where a mask hides nothing, the row says so.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden import attack, mask
from gradwarden.core.balls.linf import Linf
from gradwarden.core.goal import Strongest, Untargeted
from gradwarden.core.protocols import Attack
from gradwarden.core.provenance import environment
from gradwarden.core.threat import Threat
from gradwarden.mask.inside import replaced
from gradwarden.tasks.digits_cnn import DigitsCNN

TASK = DigitsCNN(images=200, epochs=4)
RESULTS = Path(__file__).parent / "results" / "mask_table.md"
FORWARDS = 8  # of a random model, over which its accuracy is the mean
FOLLOW = attack.PGD(steps=40, step_size=0.1)
MARGIN = attack.PGD(steps=40, step_size=0.1, restarts=2, loss="margin")
MEAN = attack.PGD(steps=20, step_size=0.2)
NET = functools.cache(lambda seed=0: learnt(TASK.model(seed), seed=seed))


class Row(NamedTuple):
    name: str
    model: Callable[[], nn.Module]
    threat: Threat = TASK.threat
    random: bool = False


class Figures(NamedTuple):
    clean: float
    noise: float
    fgsm: float
    pgd: float
    adaptive: float
    by: str


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, TASK.rate)


def learnt(model: nn.Module, seed: int = 0) -> nn.Module:
    """Trained in place; in eval mode."""
    optimizer = adam(model.parameters())
    model.train()
    for _ in range(TASK.epochs):
        for x, y in TASK.loader(seed):
            optimizer.zero_grad()
            cross_entropy(model(x), y).backward()
            optimizer.step()
    return model.eval()


def wider(channels: int) -> nn.Module:
    """The task's net for inputs of more channels."""
    model = TASK.model(0)
    assert isinstance(model, nn.Sequential)
    model[0] = nn.Conv2d(channels, 16, 5, stride=2, padding=1)
    return model


def tenths(a: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.round(a, 1)


def one_step(radius: float) -> nn.Module:
    model = TASK.model(0)
    trainer = mask.FGSMTraining(threat=Threat(ball=Linf(radius)), epochs=12)
    return trainer.fit(model, TASK.loader(0), adam(model.parameters()))


def distilled() -> nn.Module:
    fast = functools.partial(torch.optim.Adam, lr=1e-2)  # its gradient is divided by 100
    options = mask.Distillation(temperature=100.0, epochs=8)
    return options.fit(TASK.model(0), TASK.loader(0), fast)


def diverse(alpha: float, beta: float) -> nn.Module:
    nets = [TASK.model(seed) for seed in range(3)]
    options = mask.EnsembleDiversity(alpha=alpha, beta=beta, epochs=5)
    return options.fit(nets, TASK.loader(0), adam)


def front(fronts: int) -> nn.Module:
    slow = functools.partial(torch.optim.Adam, lr=1e-3)
    options = mask.DifferentiableFrontEnd(width=8, fronts=fronts)
    return options.fit(NET(), TASK.loader(0), slow)


def rows() -> Iterator[Row]:
    """Masks before a trained net, or (marked *) trained with it."""
    yield Row("no mask", NET)
    yield Row("BitDepth(bits=3)", lambda: mask.BitDepth().defend(NET()))
    yield Row("BitDepth(bits=1)", lambda: mask.BitDepth(bits=1).defend(NET()))
    yield Row("JPEG(quality=50)", lambda: mask.JPEG().defend(NET()))
    yield Row("Thermometer(levels=16) *", lambda: learnt(mask.Thermometer().defend(wider(16))))
    yield Row("MedianFilter(size=3) *", lambda: learnt(mask.MedianFilter().defend(TASK.model(0))))
    yield Row("KWTA(share=0.1) *", lambda: learnt(mask.KWTA().defend(TASK.model(0))))
    yield Row("MeanSparse(threshold=0.2)", lambda: mask.MeanSparse().fit(NET(), TASK.loader(0)))
    codes = mask.VectorQuantisation()
    yield Row("VectorQuantisation(codes=64)", lambda: codes.fit(NET(), TASK.loader(0)))
    yield Row("LogitRounding(step=0.5)", lambda: mask.LogitRounding().defend(NET()))
    yield Row("HardVote() of 3 nets", lambda: mask.HardVote().defend(NET(), NET(1), NET(2)))
    numpy = mask.NumpyRoundTrip(function=tenths)
    yield Row("NumpyRoundTrip(function=tenths)", lambda: numpy.defend(NET()))
    for name, options in (
        ("RandomResizePad(smallest=0.9)", mask.RandomResizePad()),
        ("StochasticActivationPruning(draws=0.3)", mask.StochasticActivationPruning(draws=0.3)),
        ("InputNoise(std=0.3)", mask.InputNoise(std=0.3)),
        ("InferenceDropout(p=0.3)", mask.InferenceDropout()),
    ):
        build = functools.partial(lambda o: learnt(o.defend(TASK.model(0))), options)
        yield Row(f"{name} *", build, random=True)
    yield Row("Distillation(temperature=100) *", distilled)
    yield Row("LogitScaling(factor=1000)", lambda: mask.LogitScaling().defend(NET()))
    steep = mask.SaturatingActivation()
    yield Row(
        "SaturatingActivation(gain=50) *", lambda: steep.fit(TASK.model(0), TASK.loader(0), adam)
    )
    for kind in ("chaotic", "contracting"):
        folds = mask.IteratedMap(kind=kind)
        yield Row(f'IteratedMap(kind="{kind}")', functools.partial(folds.defend, NET()))
    for kind in ("zero", "reversed", "random"):
        lie = mask.LyingBackward(kind=kind)
        yield Row(f'LyingBackward(kind="{kind}")', functools.partial(lie.defend, NET()))
    yield Row("DetachedPath()", lambda: mask.DetachedPath().defend(NET()))
    yield Row("DifferentiableFrontEnd(fronts=1) *", lambda: front(1))
    yield Row("DifferentiableFrontEnd(fronts=3) *", lambda: front(3), random=True)
    large = Threat(ball=Linf(0.2))
    yield Row("FGSMTraining(radius 0.2), at 0.2 *", lambda: one_step(0.2), large)
    yield Row("EnsembleDiversity(alpha=0, beta=0) *", lambda: diverse(0.0, 0.0))
    yield Row("EnsembleDiversity(alpha=2, beta=0.5) *", lambda: diverse(2.0, 0.5))


def accuracy(model: nn.Module, x: Tensor, y: Tensor, forwards: int) -> float:
    with torch.no_grad():
        right = [(model(x).argmax(1) == y).double().mean() for _ in range(forwards)]
    return float(sum(right)) / forwards


def unmasked(model: nn.Module) -> nn.Module:
    """The model with every mask replaced by its surrogate, forward too."""
    found = mask.surrogates(model)
    stand_ins = iter([patch.module or nn.Identity() for patch in found])
    return replaced(model, [patch.path for patch in found], lambda _: next(stand_ins))


def adaptive(row: Row, model: nn.Module) -> Iterator[tuple[str, Attack, nn.Module, Threat]]:
    """Attack, the model that it looks at, and what counts for it."""
    # A single success against a random model, or against another model, may be luck.
    on = replace(row.threat, goal=Strongest(Untargeted()))
    yield "margin", MARGIN, model, row.threat
    if patches := mask.surrogates(model):
        yield "BPDA", attack.BPDA(attack=MARGIN, patches=patches), model, row.threat
        yield "without the mask", FOLLOW, unmasked(model), on
    if row.random:
        yield "EOT", attack.EOT(attack=MEAN, draws=16), model, on


def figures(row: Row) -> Figures:
    torch.manual_seed(0)
    model, (x, y) = row.model(), TASK.held_out()
    forwards = FORWARDS if row.random else 1

    def after(by: Attack, seen: nn.Module, threat: Threat) -> float:
        return accuracy(model, by.run(seen, x, y, threat, seed=0).x_adv, y, forwards)

    noise = after(attack.Noise(draws=10), model, row.threat)
    one = after(attack.FGSM(), model, row.threat)
    many = after(FOLLOW, model, row.threat)
    known = [(after(by, seen, goal), name) for name, by, seen, goal in adaptive(row, model)]
    best, name = min([(many, "PGD"), *known])
    return Figures(accuracy(model, x, y, forwards), noise, one, many, best, name)


WORDS = f"""\
Accuracy in % on {TASK.images} MNIST images, Linf {TASK.radius}, 3,500 to train on. *noise*: the worst of ten random
points of the ball. *FGSM*, *PGD* (40 steps): along the mask's own gradient. *adaptive*: the best of
what is tried against it: BPDA with its surrogate, PGD on the net without the mask, EOT over 16 draws
where it is random, the margin loss with two restarts; *by* says which. Random models: the mean of
{FORWARDS} forwards on the points found. * trained with the mask. An accuracy here is an upper bound: a better
attack may exist. Differences below 7 points are within the 95 % interval of {TASK.images} images."""


def render(table: list[tuple[Row, Figures]], seconds: float) -> str:
    head = ["mask", "clean", "noise", "FGSM", "PGD", "adaptive", "by"]
    text = ["# Masks and their attackers", "", *WORDS.splitlines(), ""]
    text += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * 5 + "---|"]
    for row, found in table:
        cells = [f"{100 * value:.0f}" for value in found[:5]]
        text.append("| " + " | ".join([row.name, *cells, found.by]) + " |")
    where = ", ".join(f"{k} {v}" for k, v in environment().items())
    return (
        "\n".join([*text, "", f"`python benchmarks/mask_table.py`, {seconds:.0f} s, {where}"])
        + "\n"
    )


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    began, table = time.perf_counter(), []
    for row in rows():
        table.append((row, figures(row)))
        print(
            row.name, *(f"{value:.3f}" for value in table[-1][1][:5]), table[-1][1].by, flush=True
        )
    text = render(table, time.perf_counter() - began)
    print(text)
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    RESULTS.write_text(text)
