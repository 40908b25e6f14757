"""An attack that computes in float64, on a model whose numbers are too coarse for a gradient.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. IV (saturated softmax); Ma et al. 2020,
arXiv:2006.13726 (gradients lost in the loss).
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.attack.gradient import look
from gradwarden.attack.losses import loss_of
from gradwarden.attack.memory import out_of_memory
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class Double:
    """`attack` on a copy of the model in float64; its points are then tried on the model itself."""

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
        """As `attack.run`. Raises BadInput where the model has no copy in float64."""
        if not isinstance(model, nn.Module):
            raise BadInput(f"Double copies an nn.Module, got {type(model).__name__}")
        names = range(len(x)) if ids is None else ids
        try:
            fine = copy.deepcopy(model).double()
            found = self.attack.run(fine, x.double(), y, threat, seed=seed, ids=names)
        except (RuntimeError, TypeError) as why:
            if out_of_memory(why):
                raise
            raise BadInput(f"the model does not run in float64: {why}") from why
        problem = Problem(model, threat, loss_of(threat.goal, "margin"), x, y, names)
        with torch.no_grad():
            best = problem.start()
        best = look(best, problem, threat.project(found.x_adv.to(x.dtype), x))
        return best._replace(
            forwards=best.forwards + found.forwards, backwards=found.backwards.clone()
        )
