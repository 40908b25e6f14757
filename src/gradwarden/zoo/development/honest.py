"""Controls: models that hide nothing, some of which look as if they did."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.l2 import L2
from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import Draws
from gradwarden.core.estimate import Estimate
from gradwarden.core.threat import Threat
from gradwarden.harden.adversarial_training import AdversarialTraining
from gradwarden.harden.crown import CROWN
from gradwarden.harden.noise_training import NoiseTraining
from gradwarden.harden.smoothed import Smoothed
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.development.attacks import plain as patient
from gradwarden.zoo.training import Batches, adam, fit, in_small_noise, plainly

LARGE = Threat(ball=Linf(0.2), box=(0.0, 1.0))
ROUND = Threat(ball=L2(0.75), box=(0.0, 1.0))


def adversarially(threat: Threat) -> Callable[[nn.Module, Samples], nn.Module]:
    """A plain start, without which it may never leave chance; then what 7 steps of PGD find."""
    options = AdversarialTraining(threat=threat, attack=PGD(steps=7, step_size=0.3), epochs=12)

    def train(plain: nn.Module, train: Samples) -> nn.Module:
        fit(plain, train, epochs=4)
        return options.fit(plain, Batches(train), adam(plain.parameters()))

    return train


def saturate(plain: nn.Module, train: Samples) -> nn.Module:
    """Plain training, then a last layer five times as large: margins of 50 and more."""
    fit(plain, train, epochs=20)
    head = plain.get_submodule("7")
    assert isinstance(head, nn.Linear)
    with torch.no_grad():
        head.weight.mul_(5)
        head.bias.mul_(5)
    return plain


def with_noise(plain: nn.Module, train: Samples) -> nn.Module:
    """The base in noise of deviation 0.25; then the noise that the mean is taken over."""
    base = plain.get_submodule("body")
    NoiseTraining(sigma=0.25, epochs=20).fit(base, Batches(train), adam(base.parameters()))
    plain.get_buffer("shifts").copy_(shifts())
    return plain.eval()


def shifts() -> Tensor:
    """[8, 1, 28, 28]: the draws of `Smoothed` with seed 0."""
    return Draws(0, range(8), "Smoothed").normal(torch.empty(8, 1, 28, 28))


def by_lines(plain: nn.Module, held_out: Samples, threat: Threat) -> Estimate:
    """The share that CROWN certifies."""
    return CROWN().certify(plain, held_out.x, held_out.y, threat).accuracy


SATURATED = Entry(
    name="digits-saturated",
    net="net_10",
    half="development",
    family="no defence",
    kind="honest",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=saturate,
    attacks=patient,
    note="hard: undefended, and so sure that much of its softmax underflows",
)
MOTION_PLAIN = Entry(
    name="motion-plain",
    net="net_24",
    half="development",
    family="no defence",
    kind="honest",
    data="motion",
    threat=threats.MOTION_SMALL,
    module=None,
    train=in_small_noise,
    attacks=patient,
)
PHISHING_PLAIN = Entry(
    name="phishing-plain",
    net="net_25",
    half="development",
    family="no defence",
    kind="honest",
    data="phishing",
    threat=threats.PHISHING_SCORES,
    module=None,
    train=plainly(30),
    attacks=patient,
    certify=by_lines,
)
ADVERSARIAL = Entry(
    name="digits-adversarial",
    net="net_01",
    half="development",
    family="PGD adversarial training",
    kind="honest",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=adversarially(threats.DIGITS),
    attacks=patient,
    certify=by_lines,
)
ADVERSARIAL_LARGE = Entry(
    name="digits-adversarial-large",
    net="net_15",
    half="development",
    family="PGD adversarial training",
    kind="honest",
    data="digits",
    threat=LARGE,
    module=None,
    train=adversarially(LARGE),
    attacks=patient,
    note="two-edged: at radius 0.2 the training itself hides part of the gradient",
)
STRAIGHT_THROUGH = Entry(
    name="digits-straight-through",
    net="net_21",
    half="development",
    family="straight-through quantisation",
    kind="honest",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=plainly(20),
    attacks=patient,
    note="hard: the backward pass differs from the derivative, and is the better guide",
)
BATCH_NORM = Entry(
    name="digits-batch-norm",
    net="net_22",
    half="development",
    family="batch norm and dropout, in eval mode",
    kind="honest",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=plainly(20),
    attacks=patient,
)
SMOOTHED = Entry(
    name="digits-smoothed",
    net="net_23",
    half="development",
    family="randomised smoothing",
    kind="honest",
    data="digits",
    threat=ROUND,
    module=None,
    train=with_noise,
    named=lambda plain: Smoothed(plain.get_submodule("body"), sigma=0.25, draws=8),
    attacks=patient,
    note="hard: a mean over 8 draws that are always the same",
)
