"""Models that are differentiated rightly and to no use: flat nearly everywhere, or chaotic."""

from __future__ import annotations

from torch import nn

from gradwarden.mask.inside import replaced
from gradwarden.mask.iterated_map import IteratedMap
from gradwarden.mask.saturating_activation import SaturatingActivation, Steep
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.held_out.attacks import without
from gradwarden.zoo.training import Batches, adam, plainly

STEEP = SaturatingActivation(gain=50.0, paths=("1", "3", "6"))


def steepen(plain: nn.Module, train: Samples) -> nn.Module:
    STEEP.fit(plain, Batches(train), adam)
    return plain


SATURATING = Entry(
    name="digits-saturating",
    net="net_40",
    half="held-out",
    family="saturating activations",
    kind="vanishing",
    data="digits",
    threat=threats.DIGITS,
    module="1",
    train=steepen,
    named=lambda plain: replaced(plain, STEEP.paths, lambda _: Steep(STEEP)),
    attacks=without,
)
CHAOTIC = Entry(
    name="digits-chaotic-map",
    net="net_34",
    half="held-out",
    family="iterated map",
    kind="vanishing",
    data="digits",
    threat=threats.DIGITS,
    module="",
    train=lambda plain, train: plainly(15)(plain.get_submodule("body"), train),
    named=lambda plain: IteratedMap(kind="chaotic").defend(plain.get_submodule("body")),
    attacks=without,
)
