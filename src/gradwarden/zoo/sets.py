"""The data of the zoo's models: what they are trained on, and the samples all figures are of."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.errors import BadInput
from gradwarden.tasks.digits import digits
from gradwarden.tasks.motion import motion
from gradwarden.tasks.phishing import phishing
from gradwarden.tasks.thyroid import PANEL, thyroid
from gradwarden.zoo.definition import Samples

HELD_OUT = 300  # the first of the test split, which is shuffled; sample ids are 0 to 299


class Set(NamedTuple):
    train: Samples
    held_out: Samples
    test: Samples  # all of it; begins with `held_out`


def samples(data: str) -> Set:
    """Raises MissingExtra where the package with the data is not installed."""
    if data == "digits":
        return _first(digits().train, digits().test)
    if data == "motion":
        return _first(motion().train, motion().test)
    if data == "phishing":
        lowest = phishing().train.x.amin(0)  # codes are counted from 0
        return _first(*(Samples(part.x - lowest, part.y) for part in phishing()[1::2]))
    if data == "thyroid":
        return _first(*(Samples(_panel(part.x), part.y) for part in thyroid()[2::2]))
    raise BadInput(f"data must be digits, motion, phishing or thyroid, got {data!r}")


def _panel(x: Tensor) -> Tensor:
    """[N, 21] -> [N, 4] in [0, 1]: TSH, T3, TT4 and T4U on a logarithmic scale."""
    highest = torch.tensor([feature.high for feature in PANEL[:4]])
    return (x[:, 16:20].log1p() / highest.log1p()).clamp(0.0, 1.0)


def _first(train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Set:
    x, y = test
    return Set(Samples(*train), Samples(x[:HELD_OUT], y[:HELD_OUT]), Samples(x, y))
