"""Models whose backward pass is not the derivative of their forward pass."""

from __future__ import annotations

from gradwarden.mask.detached_path import DetachedPath
from gradwarden.mask.lying_backward import LyingBackward
from gradwarden.zoo.definition import Entry
from gradwarden.zoo.development import threats
from gradwarden.zoo.development.attacks import through_surrogates
from gradwarden.zoo.training import plainly

ZERO_BACKWARD = Entry(
    name="digits-zero-backward",
    net="net_06",
    half="development",
    family="zeroed backward",
    kind="lying",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(20),
    named=lambda plain: LyingBackward(kind="zero").defend(plain.get_submodule("1")),
    attacks=through_surrogates,
)
DETACHED = Entry(
    name="digits-detached-path",
    net="net_13",
    half="development",
    family="detached path",
    kind="lying",
    data="digits",
    threat=threats.DIGITS,
    module="0",
    train=plainly(20),
    named=lambda plain: DetachedPath(weight=1e-3).defend(plain.get_submodule("1")),
    attacks=through_surrogates,
)
