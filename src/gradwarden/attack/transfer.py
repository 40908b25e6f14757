"""Points found on another model, tried on this one.

Source: Papernot et al. 2016, arXiv:1605.07277 (transferability); Carlini et al. 2019,
arXiv:1902.06705, sec. 4.4 (points of high confidence transfer better).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from gradwarden.attack.gradient import look
from gradwarden.attack.losses import loss_of
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Strongest
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat

SHARES = (0.5, 1.0)  # of the way from x to the point found


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """`attack` on the model `source`, to the surest point that it finds there.

    `name` says which model that is. Only passes of the attacked model are counted.
    """

    attack: Attack
    source: Model = field(repr=False)
    name: str

    def __post_init__(self) -> None:
        if not callable(self.source):
            raise BadInput(f"source must be a model, got {type(self.source).__name__}")

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
        """As `attack.run`; `success` and `margin` are those of `model`."""
        names = range(len(x)) if ids is None else ids
        surest = replace(threat, goal=Strongest(threat.goal))
        found = self.attack.run(self.source, x, y, surest, seed=seed, ids=names)
        problem = Problem(model, threat, loss_of(threat.goal, "margin"), x, y, names)
        with torch.no_grad():
            best = problem.start()
        for share in SHARES:
            point = threat.project(x + share * (found.x_adv - x), x)
            best = look(best, problem, point)
        return best
