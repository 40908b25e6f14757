"""Models whose gradient ends at a choice, a step or code that is not PyTorch."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import BPDA, Surrogate
from gradwarden.attack.pgd import PGD
from gradwarden.core.protocols import Attack
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.defended import Defended
from gradwarden.mask.hard_vote import HardVote
from gradwarden.mask.inside import replaced
from gradwarden.mask.logit_rounding import LogitRounding
from gradwarden.mask.mean_sparse import Flattened, MeanSparse, Moments
from gradwarden.mask.median_filter import MedianFilter
from gradwarden.mask.numpy_round_trip import NumpyRoundTrip
from gradwarden.mask.surrogates import surrogates
from gradwarden.mask.vector_quantisation import Codebook, VectorQuantisation
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.held_out.attacks import CLIMB, without
from gradwarden.zoo.held_out.words import WordByWord
from gradwarden.zoo.training import Batches, adam, fit, in_small_noise, plainly

WORDS = VectorQuantisation(codes=64)
SPARSE = MeanSparse(threshold=0.2)
UNITS = ("1", "3", "6")


def find_words(plain: nn.Module, train: Samples) -> nn.Module:
    """The net on clean images, then the codebook."""
    fit(plain.get_submodule("1"), train, epochs=15)
    found = WORDS.fit(nn.Identity(), [train]).mask
    plain.get_buffer("0.a").copy_(found.get_buffer("words"))
    plain.get_buffer("0.b").copy_(found.get_buffer("spread"))
    return plain.eval()


def quantised(plain: nn.Module) -> nn.Module:
    words = Codebook(WORDS, plain.get_buffer("0.a"), plain.get_buffer("0.b"))
    return Defended(words, plain.get_submodule("1"))


def try_words(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """Words that are in reach; then the gradient of their mixtures, and that of the patches."""
    del train
    soft, itself = surrogates(named), (Surrogate("mask"),)
    return (
        WordByWord(),
        BPDA(attack=APGD(loss="margin"), patches=soft),
        BPDA(attack=CLIMB, patches=itself),
    )


def flat_later(plain: nn.Module, train: Samples) -> nn.Module:
    """Adversarial training, then the statistics; until then the units flatten nothing."""
    fit(plain, train, epochs=4)
    inner = PGD(steps=5, step_size=0.4)
    options = AdversarialTraining(threat=threats.DIGITS, attack=inner, epochs=6)
    options.fit(plain, Batches(train), adam(plain.parameters()))
    found = SPARSE.fit(replaced(plain, UNITS, lambda _: nn.ReLU()), [train])
    for path in UNITS:
        plain.get_buffer(f"{path}.a").copy_(found.get_buffer(f"{path}.0.mean"))
        plain.get_buffer(f"{path}.b").copy_(found.get_buffer(f"{path}.0.deviation"))
    return plain


def flattened(plain: nn.Module) -> nn.Module:
    def unit(old: nn.Module) -> nn.Module:
        flat = Flattened(SPARSE, seen)
        flat.mean, flat.deviation = old.get_buffer("a"), old.get_buffer("b")
        return nn.Sequential(flat, nn.ReLU())

    seen = Moments()
    seen.count = 1
    return replaced(plain, UNITS, unit)


def train_voters(plain: nn.Module, train: Samples) -> nn.Module:
    for voter in plain.get_submodule("body").children():
        fit(voter, train, epochs=12)
    return plain.eval()


class MeanLogits(nn.Module):
    """[N, voters, classes] -> [N, classes]: unlike probabilities, with a slope where all agree."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.mean(1)


def try_votes(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """The mean of the voters' logits; then that of their probabilities."""
    patch = Surrogate("mask", MeanLogits())
    return BPDA(attack=CLIMB, patches=(patch,)), *without(named, train)


def smooth(a: NDArray[np.floating]) -> NDArray[np.floating]:
    """[N, 6, 100] -> the mean of each value and both neighbours; ends are repeated."""
    wide = np.pad(a, ((0, 0), (0, 0), (1, 1)), mode="edge")
    found: NDArray[np.floating] = (wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]) / 3
    return found


class Smooth(nn.Module):
    """The same in PyTorch."""

    def forward(self, x: Tensor) -> Tensor:
        wide = torch.cat([x[..., :1], x, x[..., -1:]], -1)
        return (wide[..., :-2] + wide[..., 1:-1] + wide[..., 2:]) / 3


def try_smooth(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """With the function written again so that it can be differentiated; then the identity."""
    patch = Surrogate("mask", Smooth())
    return BPDA(attack=CLIMB, patches=(patch,)), *without(named, train)


def try_median(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """The median's own gradient, with the rounding undone alone; then its mean."""
    rounding = (Surrogate("model.mask"),)
    return BPDA(attack=CLIMB, patches=rounding), *without(named, train)


CODEBOOK = Entry(
    name="digits-codebook",
    net="net_33",
    half="held-out",
    family="vector quantisation",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=find_words,
    named=quantised,
    attacks=try_words,
    note="two-edged: no gradient, yet four patches in five can show no word but their own",
)
MEAN_SPARSE = Entry(
    name="digits-mean-sparse",
    net="net_36",
    half="held-out",
    family="MeanSparse",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="1",
    train=flat_later,
    named=flattened,
    attacks=without,
    note="two-edged: put into an adversarially trained net, as in its paper, it hides a little",
)
VOTE = Entry(
    name="digits-hard-vote",
    net="net_27",
    half="held-out",
    family="hard vote",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="",
    train=train_voters,
    named=lambda plain: HardVote().defend(*plain.get_submodule("body").children()),
    attacks=try_votes,
)
NUMPY = Entry(
    name="motion-numpy",
    net="net_28",
    half="held-out",
    family="NumPy round trip",
    kind="shattered",
    data="motion",
    threat=threats.MOTION,
    module="0",
    train=in_small_noise,
    named=lambda plain: NumpyRoundTrip(function=smooth).defend(plain.get_submodule("1")),
    attacks=try_smooth,
    note="a moving average, as in many pipelines; hides the gradient by accident",
)
MEDIAN_LEVELS = Entry(
    name="digits-median-levels",
    net="net_37",
    half="held-out",
    family="median filter and rounding",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="",
    train=plainly(15),
    named=lambda plain: MedianFilter(size=3).defend(
        BitDepth(bits=3).defend(plain.get_submodule("body"))
    ),
    attacks=try_median,
)
LOGIT_ROUNDING = Entry(
    name="thyroid-rounded-logits",
    net="net_42",
    half="held-out",
    family="logit rounding",
    kind="shattered",
    data="thyroid",
    threat=threats.THYROID,
    module="",
    train=lambda plain, train: plainly(15)(plain.get_submodule("body"), train),
    named=lambda plain: LogitRounding(step=0.5).defend(plain.get_submodule("body")),
    attacks=without,
    note="two-edged: no gradient, yet few rows are so near the boundary that they can cross it",
)
