"""Judges what an attack returns, without believing it: each point alone in its batch.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4.11 (verify the returned examples).
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.search import Model
from gradwarden.core.threat import Threat


class Judged(NamedTuple):
    """The referee's word on N points."""

    confirmed: Tensor  # [N] bool: allowed by the threat, finite logits, goal reached
    predicted: Tensor  # [N] class


def judge(model: Model, x_adv: Tensor, x: Tensor, y: Tensor, threat: Threat) -> Judged:
    """x_adv [N, ...] against x [N, ...] and y [N]; one forward of batch size 1 a sample.

    So a model whose answer depends on the rest of the batch is judged as it is used.
    """
    if not len(x_adv):  # not every model takes an empty batch
        return Judged(y.new_zeros(0, dtype=torch.bool), y.new_zeros(0))
    with torch.no_grad():
        rows = torch.cat([model(point.clone()) for point in x_adv.split(1)])
    return Judged(
        threat.goal.reached(rows, y) & threat.allows(x_adv, x), threat.goal.predicted(rows)
    )
