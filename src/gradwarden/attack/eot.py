"""Expectation over transformation: a model that draws is asked several times at every point.

Source: Athalye et al. 2018, arXiv:1707.07397, sec. 2.1; arXiv:1802.00420, sec. 4.2.
Differs: the mean is taken of losses, of all draws. Neither of logits (foolbox's EOTWrapper, where
one sure draw outvotes many), nor is success read off the last draw (AutoAttack's `rand`): a point
succeeds where it reaches the goal in most of its draws.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Attacked, Model, keyed
from gradwarden.core.threat import Threat


@dataclass(frozen=True)
class Repeated:
    """`model`, asked `draws` times: x [N, ...] -> logits [draws, N, classes].

    One call a draw, since many models draw once a batch.
    """

    model: Model
    draws: int

    def __call__(self, x: Tensor) -> Tensor:
        logits = [self.model(x.clone()) for _ in range(self.draws)]
        return torch.stack(logits).flatten(0, -3)  # draws of draws are draws

    def keyed(self, ids: Sequence[int]) -> Model:
        return Repeated(keyed(self.model, ids), self.draws)


@dataclass(frozen=True, kw_only=True)
class EOT:
    """`attack`, against the mean loss over `draws` forwards of a model that draws.

    The model's own randomness comes from torch's global generator, which is left alone: the engine
    seeds it. With BPDA, that one goes outside: `BPDA(attack=EOT(attack=...), patches=...)`.
    """

    attack: Attack
    draws: int = 20

    def __post_init__(self) -> None:
        if self.draws < 1:
            raise BadInput(f"draws must be at least 1, got {self.draws}")

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
        """As `attack.run`; every pass counts `draws` times.

        `success` and `margin` are of the draws at that point: majority and lower median. The graph
        of all draws is held at once.
        """
        found = self.attack.run(Repeated(model, self.draws), x, y, threat, seed=seed, ids=ids)
        return found._replace(
            forwards=found.forwards * self.draws, backwards=found.backwards * self.draws
        )
