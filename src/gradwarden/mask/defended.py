"""A mask before a model, or after one, as one module."""

from __future__ import annotations

from torch import Tensor, nn

from gradwarden.core.devices import device_of


class Defended(nn.Module):
    """`model(mask(x))`. The model is the one that was given, not a copy; the mask joins its device."""

    def __init__(self, mask: nn.Module, model: nn.Module) -> None:
        super().__init__()
        self.mask = mask.to(device_of(model))
        self.model = model
        self.mask.train(model.training)
        self.training = model.training  # not train(): that would touch the model's own children

    def forward(self, x: Tensor) -> Tensor:
        """x [N, ...] in the mask's box -> logits [N, classes]."""
        logits: Tensor = self.model(self.mask(x))
        return logits


class Answered(nn.Module):
    """`mask(model(x))`. The model is the one that was given, not a copy; the mask joins its device."""

    def __init__(self, model: nn.Module, mask: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.mask = mask.to(device_of(model))
        self.mask.train(model.training)
        self.training = model.training

    def forward(self, x: Tensor) -> Tensor:
        """x [N, ...] -> what the mask leaves of the logits [N, classes]."""
        logits: Tensor = self.mask(self.model(x))
        return logits
