"""Models so sure of themselves that the cross-entropy has no gradient left."""

from __future__ import annotations

from torch import nn

from gradwarden.mask.distillation import Distillation
from gradwarden.mask.logit_scaling import LogitScaling
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.development.attacks import plain as patient
from gradwarden.zoo.training import Batches, adam, plainly


def distil(plain: nn.Module, train: Samples) -> nn.Module:
    """Teacher and student at temperature 50."""
    options = Distillation(temperature=50.0, epochs=15)
    return options.fit(plain, Batches(train), lambda p: adam(p, 5e-3))


DISTILLED = Entry(
    name="digits-distilled",
    net="net_16",
    half="development",
    family="distillation",
    kind="vanishing",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=distil,
    attacks=patient,
    note="a plain net: what hides the gradient is the size of its logits",
)
SCALED = Entry(
    name="digits-scaled-logits",
    net="net_09",
    half="development",
    family="logit scaling",
    kind="vanishing",
    data="digits",
    threat=threats.DIGITS,
    module="1",
    train=lambda plain, train: plainly(20)(plain.get_submodule("0"), train),
    named=lambda plain: LogitScaling(factor=1000.0).defend(plain.get_submodule("0")),
    attacks=patient,
)
