"""Random points of the ball: what an attacker reaches who knows nothing.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 5.6 (random noise as a sanity check).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradwarden.attack.losses import loss_of
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class Noise:
    """The best of `draws` uniform points of the ball."""

    draws: int = 10

    def __post_init__(self) -> None:
        if self.draws < 0:
            raise BadInput(f"draws must be at least 0, got {self.draws}")

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        """x [N, ...], y [N] -> best of x and the draws; one forward a draw, no backward."""
        goal, loss = threat.goal, loss_of(threat.goal, "margin")
        best = Attacked.start(model, goal, loss, x, y)
        draws = Draws(seed, range(len(x)) if ids is None else ids, "Noise")
        for number in range(self.draws):
            rows = (~best.success).nonzero()[:, 0]
            if not len(rows):
                break
            point = threat.sample(x[rows], draws.only(rows.tolist()))
            with torch.no_grad():
                some, _ = best.at(rows).score(model, goal, loss, point, y[rows], number)
            best = best.put(rows, some)
        return best
