"""Models that learnt to differ: nothing in their modules is unusual."""

from __future__ import annotations

from torch import nn

from gradwarden.mask.ensemble_diversity import EnsembleDiversity, MeanEnsemble
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.development.attacks import plain as patient
from gradwarden.zoo.training import Batches, adam


def members(plain: nn.Module) -> list[nn.Module]:
    return list(plain.get_submodule("body").children())


def diversify(plain: nn.Module, train: Samples) -> nn.Module:
    options = EnsembleDiversity(alpha=2.0, beta=0.5, epochs=15)
    options.fit(members(plain), Batches(train), adam)
    return plain


DIVERSE = Entry(
    name="digits-diverse-ensemble",
    net="net_45",
    half="held-out",
    family="ensemble diversity",
    kind="training",
    data="digits",
    threat=threats.DIGITS,
    module=None,
    train=diversify,
    named=lambda plain: MeanEnsemble(members(plain)),
    attacks=patient,
)
