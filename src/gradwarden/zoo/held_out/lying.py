"""Models whose backward pass is not the derivative of their forward pass."""

from __future__ import annotations

from gradwarden.mask.lying_backward import LyingBackward
from gradwarden.zoo.definition import Entry
from gradwarden.zoo.development import threats
from gradwarden.zoo.held_out.attacks import without
from gradwarden.zoo.training import in_small_noise, plainly

REVERSED = Entry(
    name="motion-reversed-backward",
    net="net_32",
    half="held-out",
    family="reversed backward",
    kind="lying",
    data="motion",
    threat=threats.MOTION,
    module="0",
    train=lambda plain, train: in_small_noise(plain.get_submodule("1"), train),
    named=lambda plain: LyingBackward(kind="reversed").defend(plain.get_submodule("1")),
    attacks=without,
)
RANDOM = Entry(
    name="digits-random-backward",
    net="net_38",
    half="held-out",
    family="random backward",
    kind="lying",
    data="digits",
    threat=threats.DIGITS,
    module="",
    train=lambda plain, train: plainly(15)(plain.get_submodule("body"), train),
    named=lambda plain: LyingBackward(kind="random").defend(plain.get_submodule("body")),
    attacks=without,
    note="the gradient has the right size and is drawn afresh each time",
)
