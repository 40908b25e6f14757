"""The model's own values on the way forward, its gradient averaged over noise on the way back.

Source: Tramer et al. 2020, arXiv:2002.08347, sec. 5 (k-winners-take-all: gradients averaged over
random points nearby); Athalye et al. 2018, arXiv:1802.00420, sec. 4.2.
Differs: the loss is taken at the model's answer to x itself; only the way back is averaged.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from gradwarden.attack.bpda import attach
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Attacked, Model, keyed
from gradwarden.core.threat import Threat


class Averaged:
    """`model`, its gradient averaged over the noise of each sample: Keyed.

    Asked without ids, or where no gradient is wanted, it is the model itself.
    """

    def __init__(self, model: Model, sigma: float, draws: int, chance: Draws, ids: Sequence[int]):
        self.model, self.sigma, self.draws, self.chance = model, sigma, draws, chance
        self.row = {int(name): row for row, name in enumerate(ids)}
        self.extra = torch.zeros(len(ids), dtype=torch.long)  # [N] forwards at noisy points

    def __call__(self, x: Tensor) -> Tensor:
        return self.model(x)

    def keyed(self, ids: Sequence[int]) -> Model:
        inner = keyed(self.model, ids)

        def model(x: Tensor) -> Tensor:
            if not (torch.is_grad_enabled() and x.requires_grad):
                return inner(x)
            with torch.no_grad():
                real = inner(x.detach().clone())
            return attach(real, self._mean(inner, x, [self.row[int(name)] for name in ids]))

        return model

    def _mean(self, inner: Model, x: Tensor, rows: list[int]) -> Tensor:
        """The mean answer at noisy points, one forward a draw."""
        noise = self.chance.only(rows).normal(x, self.draws, *x.shape[1:]) * self.sigma
        soft = []
        for number in range(self.draws):
            self.extra[rows] += 1
            soft.append(inner(x + noise[:, number]))
            if not soft[-1].requires_grad:  # nor will it be in the other draws
                break
        return torch.stack(soft).mean(0)


@dataclass(frozen=True, kw_only=True)
class Smoothed:
    """`attack`, led by the gradient's mean over `draws` points x + `sigma` u, u normal.

    `sigma` is in units of x; the noisy points may leave the box. Against a gradient that is noise
    on a small scale and right on a larger one. The draws are keyed by each sample's id. With BPDA,
    that one goes outside: `BPDA(attack=Smoothed(attack=...), patches=...)`.
    """

    attack: Attack
    sigma: float
    draws: int = 16

    def __post_init__(self) -> None:
        if not 0.0 < self.sigma < float("inf"):
            raise BadInput(f"sigma must be above 0, in units of x, got {self.sigma}")
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
        """As `attack.run`; a gradient costs `draws` backwards and 1 + `draws` forwards.

        Where autograd finds no path the first draw shows it, and costs its forward alone.
        """
        names = range(len(x)) if ids is None else ids
        wrapped = Averaged(model, self.sigma, self.draws, Draws(seed, names, "Smoothed"), names)
        found = self.attack.run(wrapped, x, y, threat, seed=seed, ids=ids)
        return found._replace(
            forwards=found.forwards + wrapped.extra.to(found.forwards.device),
            backwards=found.backwards * self.draws,
        )
