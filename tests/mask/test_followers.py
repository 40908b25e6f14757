"""What each mask does to those who follow its gradient, beside noise of the same size, and to those
who know it. Digits of 8x8 pixels, Linf 0.15; undefended, PGD leaves an accuracy of about 0.16.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest
import torch
from mask_nets import (
    FOLLOW,
    Averaged,
    accuracy,
    adam,
    after,
    fresh,
    learnt,
    loader,
    plain,
    relentless,
    shown,
    unmasked,
)
from numpy.typing import NDArray
from torch import nn

from gradwarden import mask
from gradwarden.attack.bpda import BPDA
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

MARGIN = PGD(steps=15, step_size=0.2, loss="margin")
DRAWS = 8  # forwards that the accuracy of a random model is the mean of


def tenths(a: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.round(a, 1)


def bpda(model: nn.Module) -> float:
    return after(model, BPDA(attack=FOLLOW, patches=mask.surrogates(model)))


def margin(model: nn.Module) -> float:
    return after(model, MARGIN)


def twin(model: nn.Module) -> float:
    """PGD on the model without its masks, carried over."""
    return after(model, FOLLOW, relentless(), seen=unmasked(model), draws=DRAWS)


def eot(model: nn.Module) -> float:
    return after(model, FOLLOW, relentless(), seen=Averaged(model, 12), draws=DRAWS)


class Row(NamedTuple):
    name: str
    build: Callable[[], nn.Module]
    adaptive: Callable[[nn.Module], float]
    clean: float  # at least
    kept: float  # accuracy after PGD along the mask's own gradient, at least
    left: float  # accuracy after the adaptive attack, at most


def thermometer() -> nn.Module:
    return learnt(mask.Thermometer(levels=8).defend(fresh(8)))


ROWS = [
    Row("bit depth", lambda: mask.BitDepth().defend(plain()), bpda, 0.9, 0.9, 0.35),
    Row("jpeg", lambda: mask.JPEG().defend(plain()), bpda, 0.9, 0.9, 0.35),
    Row("thermometer", thermometer, bpda, 0.9, 0.9, 0.4),
    Row("codebook", lambda: mask.VectorQuantisation().fit(plain(), loader()), bpda, 0.9, 0.9, 0.6),
    Row("rounding", lambda: mask.LogitRounding().defend(plain()), bpda, 0.9, 0.9, 0.35),
    Row("vote", lambda: mask.HardVote().defend(plain(), plain(1)), bpda, 0.9, 0.9, 0.4),
    Row("numpy", lambda: mask.NumpyRoundTrip(function=tenths).defend(plain()), bpda, 0.9, 0.9, 0.3),
    Row("scaling", lambda: mask.LogitScaling().defend(plain()), margin, 0.9, 0.9, 0.35),
    Row("chaotic", lambda: mask.IteratedMap().defend(plain()), bpda, 0.9, 0.9, 0.35),
    Row(
        "contracting",
        lambda: mask.IteratedMap(kind="contracting").defend(plain()),
        bpda,
        0.9,
        0.9,
        0.35,
    ),
    Row("zero", lambda: mask.LyingBackward().defend(plain()), bpda, 0.9, 0.9, 0.3),
    Row(
        "reversed", lambda: mask.LyingBackward(kind="reversed").defend(plain()), bpda, 0.9, 0.9, 0.3
    ),
    Row("random", lambda: mask.LyingBackward(kind="random").defend(plain()), bpda, 0.9, 0.85, 0.3),
    Row("detached", lambda: mask.DetachedPath().defend(plain()), bpda, 0.9, 0.85, 0.3),
    Row(
        "steep",
        lambda: mask.SaturatingActivation().fit(fresh(seed=2), loader(), adam),
        bpda,
        0.8,
        0.65,
        0.25,
    ),
    Row(
        "distilled",
        lambda: mask.Distillation(temperature=50.0, epochs=20).fit(fresh(), loader(), adam),
        margin,
        0.88,
        0.65,
        0.35,
    ),
]
RANDOM = [
    Row(
        "view",
        lambda: learnt(mask.RandomResizePad(smallest=0.75).defend(fresh())),
        eot,
        0.7,
        0.5,
        0.4,
    ),
    Row(
        "pruning",
        lambda: learnt(mask.StochasticActivationPruning(draws=0.3).defend(fresh())),
        twin,
        0.7,
        0.5,
        0.35,
    ),
    Row("noise", lambda: learnt(mask.InputNoise(std=0.2).defend(fresh())), eot, 0.85, 0.5, 0.45),
    Row("dropout", lambda: learnt(mask.InferenceDropout().defend(fresh())), eot, 0.85, 0.5, 0.4),
]


@pytest.mark.parametrize("row", ROWS + RANDOM, ids=lambda row: row.name)
def test_followers_are_stopped_and_those_who_know_are_not(row: Row) -> None:
    x, y = shown()
    torch.manual_seed(0)
    model, draws = row.build(), DRAWS if row in RANDOM else 1
    clean, noise = accuracy(model, x, y, draws), after(model, Noise(draws=5), draws=draws)
    kept, left = after(model, FOLLOW, draws=draws), row.adaptive(model)
    figures = f"{clean=:.2f} {noise=:.2f} {kept=:.2f} {left=:.2f}"
    assert clean >= row.clean, figures
    assert noise >= clean - 0.15, figures
    assert kept >= row.kept, figures
    assert left <= row.left, figures
    assert kept - left >= 0.5 * (kept - 0.16), figures  # most of what was hidden


FLAT = {"bit depth", "jpeg", "thermometer", "codebook", "rounding", "vote", "numpy", "scaling"}
FLAT |= {"contracting", "zero"}


@pytest.mark.parametrize("row", [row for row in ROWS if row.name in FLAT], ids=lambda row: row.name)
def test_one_step_along_nothing_changes_nothing(row: Row) -> None:
    model = row.build()
    assert after(model, FGSM()) == accuracy(model, *shown())


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("median", lambda: learnt(mask.MedianFilter().defend(fresh()))),
        ("mean sparse", lambda: mask.MeanSparse().fit(plain(), loader())),
        ("front end", lambda: mask.DifferentiableFrontEnd(width=8).fit(plain(), loader(), adam)),
    ],
)
def test_some_hide_nothing_from_a_plain_net(name: str, build: Callable[[], nn.Module]) -> None:
    """Named as masks in the literature; here their own gradient is as good as any."""
    model = build()
    kept, left = after(model, FOLLOW), bpda(model)
    assert accuracy(model, *shown()) >= 0.85
    assert kept <= 0.35, name
    assert kept - left <= 0.1, name


def test_winners_hide_most_from_one_step_and_a_part_from_many() -> None:
    model = learnt(mask.KWTA(share=0.2).defend(fresh()))
    hard = PGD(steps=40, step_size=0.1, restarts=2, loss="margin")
    known = after(model, BPDA(attack=hard, patches=mask.surrogates(model)))
    assert accuracy(model, *shown()) >= 0.9
    assert after(model, Noise(draws=5)) >= 0.8
    assert after(model, FGSM()) >= known + 0.2
    assert after(model, hard) >= known + 0.03


def test_fgsm_training_stops_fgsm_and_not_pgd() -> None:
    torch.manual_seed(0)
    threat, model = Threat(ball=Linf(0.3)), fresh()
    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    mask.FGSMTraining(threat=threat, epochs=40).fit(model, loader(), optimizer)
    one, many = after(model, FGSM(), threat), after(model, FOLLOW, threat)
    assert after(model, Noise(draws=5), threat) >= 0.6
    assert one - many >= 0.3, (one, many)


def test_diverse_nets_stop_one_step_better_than_many() -> None:
    nets = [fresh(seed=seed) for seed in range(3)]
    alike = mask.EnsembleDiversity(alpha=0.0, beta=0.0, epochs=6).fit(
        [fresh(seed=seed) for seed in range(3)], loader(), adam
    )
    model = mask.EnsembleDiversity(epochs=6).fit(nets, loader(), adam)
    assert accuracy(model, *shown()) >= 0.9
    assert after(model, FGSM()) >= after(alike, FGSM()) + 0.1
    many = PGD(steps=60, step_size=0.1, restarts=2, loss="margin")
    assert after(model, many) <= after(model, FGSM()) - 0.05


def test_undefended_the_gradient_leads_where_noise_does_not() -> None:
    assert after(plain(), Noise(draws=5)) >= 0.85
    assert after(plain(), FGSM()) <= 0.35
    assert after(plain(), FOLLOW) <= 0.25
