"""Models that learnt to hide: nothing in their modules is unusual."""

from __future__ import annotations

from torch import nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat
from gradwarden.mask.fgsm_training import FGSMTraining
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development.attacks import plain as patient
from gradwarden.zoo.training import Batches, adam, fit

LARGE = Threat(ball=Linf(0.25), box=(0.0, 1.0))


def overfit(plain: nn.Module, train: Samples) -> nn.Module:
    """Plain training, then to single steps of radius 0.25."""
    fit(plain, train, epochs=6)
    options = FGSMTraining(threat=LARGE, epochs=15)
    return options.fit(plain, Batches(train), adam(plain.parameters()))


FGSM_TRAINED = Entry(
    name="digits-fgsm-trained",
    net="net_20",
    half="development",
    family="catastrophic overfitting",
    kind="training",
    data="digits",
    threat=LARGE,
    module=None,
    train=overfit,
    attacks=patient,
    note="two-edged: single steps fail, iterated ones do not",
)
