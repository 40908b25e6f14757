"""Random points of the ball: what an attacker reaches who knows nothing.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 5.6 (random noise as a sanity check).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gradwarden.attack.gradient import look
from gradwarden.attack.losses import loss_of
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Attacked, Model, Problem
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
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, threat, loss_of(threat.goal, "margin"), x, y, names)
        best, draws = problem.start(), problem.draws(seed, "Noise")
        for number in range(self.draws):
            rows = best.left
            if not len(rows):
                break
            some = problem.at(rows)
            point = threat.sample(some.x, draws.only(rows.tolist()))
            best = best.put(rows, look(best.at(rows), some, point, number))
        return best
