"""After each activation a random part of its values is dropped, the small ones first.

Source: Dhillon et al. 2018, arXiv:1803.01442, sec. 3 (stochastic activation pruning, SAP).
Differs: the chance to survive is computed from the number of draws, 1 - (1 - p)^draws, instead of
drawing that often with replacement; the two have the same means.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.inside import chosen, replaced


@dataclass(frozen=True, kw_only=True)
class StochasticActivationPruning:
    """A value survives with a chance that grows with its share of the layer, and is scaled up.

    `draws` is how often a value is drawn, as a multiple of the layer's size (for each sample).
    `paths` names the modules after which this happens; all activations if empty. Draws come from
    PyTorch's global generator, as in a deployed model: `torch.manual_seed` freezes them.

    Claims: the path that an attack found through the network is not there the next time.
    Breaks: gradients averaged over the draws (EOT); the surrogate keeps every value, the mean.
    Cost: a random number for each value; accuracy where `draws` is small.
    """

    draws: float = 1.0
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.draws < float("inf"):
            raise BadInput(f"draws must be above 0, in sizes of the layer, got {self.draws}")

    def defend(self, model: nn.Module) -> nn.Module:
        """The model with pruning after its activations, on the same weights."""
        where = chosen(model, self.paths)
        return replaced(model, where, lambda old: nn.Sequential(old, Pruner(self)))


class Pruner(nn.Module):
    """a [N, ...] -> a / chance where it survives, else 0."""

    def __init__(self, options: StochasticActivationPruning) -> None:
        super().__init__()
        self.options = options

    def forward(self, a: Tensor) -> Tensor:
        size = a.abs().flatten(1)
        share = size / size.sum(1, keepdim=True).clamp(min=torch.finfo(a.dtype).tiny)
        draws = self.options.draws * size.shape[1]
        chance = -torch.expm1(draws * torch.log1p(-share.clamp(max=1 - 1e-6))).view_as(a)
        stays = torch.rand_like(a) < chance
        return torch.where(stays, a / chance.clamp(min=1e-8), 0.0)

    def surrogate(self) -> nn.Module:
        """The identity: the mean over the draws."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
