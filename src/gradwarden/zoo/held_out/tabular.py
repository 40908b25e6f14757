"""A model of a table without any gradient; few codes, so all that is in reach is tried."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from gradwarden.core.protocols import Attack
from gradwarden.mask.tree_ensemble import TreeEnsemble
from gradwarden.zoo.adaptive import Exhaustive
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.plain.net_39 import Stage

COUNTS = (3,) * 7 + (2,) * 2


class Neighbours:
    """The plain form's five neighbours as a fitted classifier."""

    classes_ = (0, 1)

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def predict_proba(self, X: NDArray[np.floating], /) -> NDArray[np.floating]:
        """Rows [N, 9] -> [N, 2]."""
        return self.stage.mean(torch.from_numpy(X)).numpy()


def remember(plain: nn.Module, train: Samples) -> nn.Module:
    plain.get_buffer("0.a").copy_(train.x)
    plain.get_buffer("0.b").copy_(train.y)
    return plain


def classifier(plain: nn.Module) -> nn.Module:
    stage = plain.get_submodule("0")
    assert isinstance(stage, Stage)
    return TreeEnsemble().defend(Neighbours(stage))


def try_codes(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """Every pair of other codes."""
    del named, train
    return (Exhaustive(values=tuple(tuple(map(float, range(count))) for count in COUNTS)),)


NEIGHBOURS = Entry(
    name="phishing-neighbours",
    net="net_39",
    half="held-out",
    family="nearest neighbours",
    kind="tabular",
    data="phishing",
    threat=threats.PHISHING,
    module="0",
    train=remember,
    named=classifier,
    attacks=try_codes,
)
