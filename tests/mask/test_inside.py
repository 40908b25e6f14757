"""Replacing modules in a second tree that shares the weights."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.inside import ACTIVATIONS, chosen, paths_of, replaced


class Twice(nn.Module):
    """One activation at two places, under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.first = self.second = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.linear(self.first(x)) - 1)
        return out


def test_every_place_of_a_shared_module_is_replaced() -> None:
    model = Twice()
    assert paths_of(model, ACTIVATIONS) == ("first", "second")
    found = replaced(model, chosen(model, ()), lambda _: nn.Identity())
    x = torch.randn(5, 3)
    assert torch.equal(found(x), model.linear(x) - 1)
    assert isinstance(model.first, nn.ReLU)
    assert model.first is model.second


def test_training_one_tree_trains_the_other() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.BatchNorm1d(3), nn.ReLU()).train()
    found = replaced(model, ("2",), lambda _: nn.Tanh())
    assert found.get_submodule("0").weight is model[0].weight
    found(torch.randn(8, 3)).sum().backward()
    assert model[0].weight.grad is not None
    assert found.get_buffer("1.running_mean") is model.get_buffer("1.running_mean")
    assert model.get_buffer("1.running_mean").any()
    assert model[1].num_batches_tracked == 1


def test_the_model_itself_may_be_replaced_and_modes_are_kept() -> None:
    relu = nn.ReLU().eval()
    found = replaced(relu, ("",), lambda old: nn.Sequential(old, nn.Dropout()))
    assert not any(module.training for module in found.modules())
    assert replaced(relu.train(), ("",), lambda _: nn.Tanh()).training


def test_without_activations_or_with_unknown_paths_one_sentence() -> None:
    with pytest.raises(BadInput, match="no activation module"):
        chosen(nn.Linear(2, 2), ())
    with pytest.raises(BadInput, match="no module at '7'"):
        chosen(nn.Sequential(nn.ReLU()), ("0", "7"))
