"""An attack that goes on after a success, to the surest point that it finds.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4.6 (randomised defences); DiffBreak, issue 1
(points that succeed once by luck while optimising do not succeed again).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from gradwarden.attack.losses import loss_of
from gradwarden.core.goal import Strongest
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class ToTheEnd:
    """`attack`, which goes on after a success: the strongest point instead of the first.

    For models that draw: what succeeds once by luck is not what succeeds in most draws.
    """

    attack: Attack

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
        """As `attack.run`; a sample that falls costs what one that never falls does."""
        names = range(len(x)) if ids is None else ids
        problem = Problem(model, threat, loss_of(threat.goal, "margin"), x, y, names)
        best = problem.start()
        left, hardest = best.left, replace(threat, goal=Strongest(threat.goal))
        if not len(left):
            return best
        some = [names[row] for row in left.tolist()]
        found = self.attack.run(model, x[left], y[left], hardest, seed=seed, ids=some)
        spent = best.forwards[left] + found.forwards
        return best.put(left, found._replace(success=found.margin > 0, forwards=spent))
