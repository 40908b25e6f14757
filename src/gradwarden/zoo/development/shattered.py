"""Models whose gradient is zero, missing or says nothing about the next step."""

from __future__ import annotations

from torch import nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.smoothed import Smoothed
from gradwarden.core.protocols import Attack
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.jpeg import JPEG
from gradwarden.mask.kwta import KWTA
from gradwarden.mask.thermometer import Thermometer
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.development.attacks import through_surrogates
from gradwarden.zoo.training import in_small_noise, plainly


def body(plain: nn.Module) -> nn.Module:
    """What stands behind the first stage."""
    return plain.get_submodule("1")


def averaged(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """Gates that close softly, and gradients averaged over points nearby."""
    climb = APGD(loss="margin", restarts=2)
    near = tuple(Smoothed(attack=climb, sigma=sigma) for sigma in (0.1, 0.05))
    return *through_surrogates(named, train), *near


BIT_DEPTH = Entry(
    name="digits-bit-depth",
    net="net_07",
    half="development",
    family="bit depth",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(20),
    named=lambda plain: BitDepth(bits=3).defend(body(plain)),
    attacks=through_surrogates,
)
ONE_BIT = Entry(
    name="digits-one-bit",
    net="net_14",
    half="development",
    family="bit depth",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(20),
    named=lambda plain: BitDepth(bits=1).defend(body(plain)),
    attacks=through_surrogates,
    note="two-edged: no gradient, yet most pixels are too far from 1/2 to be flipped",
)
MOTION_LEVELS = Entry(
    name="motion-levels",
    net="net_08",
    half="development",
    family="bit depth",
    kind="shattered",
    data="motion",
    threat=threats.MOTION,
    module="0",
    train=in_small_noise,
    named=lambda plain: BitDepth(bits=5).defend(body(plain)),
    attacks=through_surrogates,
)
CODEC = Entry(
    name="digits-jpeg",
    net="net_03",
    half="development",
    family="JPEG",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(12),
    named=lambda plain: JPEG(quality=50).defend(body(plain)),
    attacks=through_surrogates,
)
SWITCHES = Entry(
    name="digits-thermometer",
    net="net_11",
    half="development",
    family="thermometer",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(20),
    named=lambda plain: Thermometer(levels=16).defend(body(plain)),
    attacks=through_surrogates,
)
WINNERS = Entry(
    name="digits-kwta",
    net="net_05",
    half="development",
    family="k winners take all",
    kind="shattered",
    data="digits",
    threat=threats.DIGITS,
    module="1",
    train=plainly(15),
    named=lambda plain: KWTA(share=0.08, paths=("1", "3", "6")).defend(plain),
    attacks=averaged,
    note="the gradient is right where it is, and of little use a step further on",
)
