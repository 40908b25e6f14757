"""The lists of attacks that several entries share."""

from __future__ import annotations

from torch import nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import BPDA
from gradwarden.attack.budgets import WITH_GRADIENT
from gradwarden.attack.eot import EOT
from gradwarden.attack.fab import FAB
from gradwarden.attack.square import Square
from gradwarden.attack.to_the_end import ToTheEnd
from gradwarden.core.protocols import Attack, Patch
from gradwarden.mask.surrogates import surrogates
from gradwarden.zoo.definition import Samples

# The thorough budget, less what asks no gradient (the judge ends with that) or costs most for least.
CASCADE: tuple[Attack, ...] = tuple(
    attack for attack in WITH_GRADIENT["thorough"] if not isinstance(attack, FAB | Square)
)


def plain(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """The model's own gradient, with patience: the right attack where nothing is hidden."""
    del named, train
    return CASCADE


def through_surrogates(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """The gradient of what each mask names as its stand-in."""
    del train
    patches: tuple[Patch, ...] = surrogates(named)
    return tuple(BPDA(attack=attack, patches=patches) for attack in CASCADE)


def over_draws(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """The gradient of the mean loss over the model's draws."""
    del named, train
    return tuple(
        ToTheEnd(attack=EOT(attack=APGD(steps=60, loss=loss), draws=20))
        for loss in ("margin", "cross-entropy")
    )
