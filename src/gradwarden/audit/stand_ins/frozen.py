"""A model that draws, held at one draw: a probe of what its randomness hides.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 5 (an attack must succeed where the randomness
is fixed); Gao et al. 2022, arXiv:2206.09099 (few draws hide less than they seem to).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gradwarden.audit.case import quiet
from gradwarden.core.draws import seed_of


class Frozen(nn.Module):
    """`model`, asked with the same seeds at every call: draw number `seed`.

    Global generators of torch, NumPy and Python are seeded within and go on as they were. What
    draws from a generator of its own is not held. Draws belong to places in a batch, so a batch of
    another size may see others.
    """

    def __init__(self, model: nn.Module, seed: int = 0) -> None:
        super().__init__()
        self.model, self.seed = model, seed
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """x [N, ...] -> logits [N, classes] of that draw."""
        with quiet(x, seed_of(self.seed, "frozen")):
            logits: Tensor = self.model(x)
        return logits

    def __repr__(self) -> str:
        return f"Frozen(seed={self.seed})"


def frozen(model: nn.Module, x: Tensor, *, seed: int = 0) -> Frozen | None:
    """The wrapper where the model answers x [N, ...] in another way with another seed, else None."""
    one = Frozen(model, seed)
    with torch.no_grad():
        alike = torch.equal(one(x.clone()), Frozen(model, seed + 1)(x.clone()))
    return None if alike else one
