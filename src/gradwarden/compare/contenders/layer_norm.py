"""Activations of mean 0 and variance 1, sample by sample, before each layer.

Source: Ba et al. 2016, arXiv:1607.06450.
Differs: stands before every linear layer but the one that the input meets; inside a recurrent cell
nothing is changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn

from gradwarden.compare.contenders.contender import Treatment


@dataclass(frozen=True, kw_only=True)
class LayerNorm(Treatment):
    """With a learnt scale and shift, as torch's."""

    name = "layer-norm"
    noun = "layer normalisation"
    what = "Brings what enters each linear layer to mean 0 and variance 1, sample by sample."
    label = "layer norm"

    def applied(self, model: nn.Module) -> nn.Module:
        weighted = [
            m for m in model.modules() if next(m.parameters(recurse=False), None) is not None
        ]
        for module in weighted[1:]:
            if isinstance(module, nn.Linear):
                weight = module.weight
                norm = nn.LayerNorm(module.in_features, device=weight.device, dtype=weight.dtype)
                module.add_module("norm_before", norm)
                module.register_forward_pre_hook(_normalised)
        return model


def _normalised(module: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return (module.get_submodule("norm_before")(given[0]), *given[1:])
