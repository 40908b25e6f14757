"""Controls: models that hide nothing on purpose."""

from __future__ import annotations

from torch import nn

from gradwarden.harden.fast_training import FastTraining
from gradwarden.harden.grad_align import GradAlign
from gradwarden.harden.trades import TRADES
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.development.attacks import plain as patient
from gradwarden.zoo.development.honest import by_lines
from gradwarden.zoo.training import Batches, adam, fit, in_small_noise, plainly


def with_trades(plain: nn.Module, train: Samples) -> nn.Module:
    fit(plain, train, epochs=4)
    options = TRADES(threat=threats.DIGITS, beta=6.0, steps=7, epochs=7)
    return options.fit(plain, Batches(train), adam(plain.parameters()))


def in_one_noisy_step(plain: nn.Module, train: Samples) -> nn.Module:
    """N-FGSM: noise of twice the radius, a step of the radius, neither clipped to the ball."""
    fit(plain, train, epochs=4)
    options = FastTraining(threat=threats.DIGITS, noise=2.0, step_size=1.0, clip=False, epochs=15)
    return options.fit(plain, Batches(train), adam(plain.parameters()))


def aligned(plain: nn.Module, train: Samples) -> nn.Module:
    in_small_noise(plain, train)
    options = GradAlign(threat=threats.MOTION, epochs=8)
    return options.fit(plain, Batches(train), adam(plain.parameters(), 1e-3))


BY_TRADES = Entry(
    name="digits-trades",
    net="net_29",
    half="held-out",
    family="TRADES",
    kind="honest",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=with_trades,
    attacks=patient,
    certify=by_lines,
)
BY_NOISY_STEP = Entry(
    name="digits-noisy-step",
    net="net_35",
    half="held-out",
    family="N-FGSM",
    kind="honest",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=in_one_noisy_step,
    attacks=patient,
    certify=by_lines,
)
ALIGNED = Entry(
    name="motion-grad-align",
    net="net_41",
    half="held-out",
    family="GradAlign",
    kind="honest",
    data="motion",
    threat=threats.MOTION,
    module=None,
    train=aligned,
    attacks=patient,
)
ATTENTION = Entry(
    name="digits-attention",
    net="net_26",
    half="held-out",
    family="attention, undefended",
    kind="honest",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=plainly(15),
    attacks=patient,
)
LAYER_NORM = Entry(
    name="phishing-layer-norm",
    net="net_31",
    half="held-out",
    family="layer norm, dropout switched off",
    kind="honest",
    data="phishing",
    threat=threats.PHISHING_SCORES,
    module=None,
    train=plainly(30),
    attacks=patient,
)
