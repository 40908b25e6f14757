"""Activations so steep that they are flat nearly everywhere.

Source: Nayebi & Ganguli 2017, arXiv:1703.09202 (highly saturated networks); broken by Brendel &
Bethge 2017, arXiv:1704.01547.
Differs: steepness grows during training, instead of a penalty that drives ordinary activations
into saturation.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.mask.inside import chosen, replaced
from gradwarden.mask.training import Batches, MakeOptimizer, tell, train_pass

KINDS = ("tanh", "sigmoid")


@dataclass(frozen=True, kw_only=True)
class SaturatingActivation:
    """Activations become `kind`(`gain` times a); training starts at gain 1 and ends there.

    `paths` names the modules to replace; all activations if empty.

    Claims: a saturated unit answers no small perturbation, and gradients through it vanish.
    Breaks: BPDA with the same activation at gain 1; some units sit near 0 and flip.
    Cost: `epochs` of training; many points of accuracy, and noise alone flips nearly binary units.
    """

    gain: float = 50.0
    kind: str = "tanh"
    epochs: int = 12
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 1.0 <= self.gain < float("inf"):
            raise BadInput(f"gain must be at least 1, got {self.gain}")
        if self.kind not in KINDS:
            raise BadInput(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.epochs < 1:
            raise BadInput(f"epochs must be at least 1, got {self.epochs}")

    def fit(
        self,
        model: nn.Module,
        loader: Batches,
        make_optimizer: MakeOptimizer,
        *,
        on_progress: Progress | None = None,
    ) -> nn.Module:
        """Trains the weights of `model` in place behind other activations; in eval mode.

        The gain grows by the same factor from pass to pass; `on_progress` counts passes.
        """
        steep = [Steep(self) for _ in chosen(model, self.paths)]
        left = iter(steep)
        found = replaced(model, chosen(model, self.paths), lambda _: next(left)).train()
        optimizer = make_optimizer(found.parameters())
        for epoch in range(self.epochs):
            for unit in steep:
                unit.gain = self.gain ** (epoch / max(1, self.epochs - 1))
            train_pass(loader, optimizer, lambda x, y: cross_entropy(found(x), y))
            tell(on_progress, epoch + 1, self.epochs)
        for unit in steep:
            unit.gain = self.gain
        return found.eval()


class Steep(nn.Module):
    """a [N, ...] -> tanh or sigmoid of gain times a."""

    def __init__(self, options: SaturatingActivation, gain: float | None = None) -> None:
        super().__init__()
        self.options = options
        self.gain = options.gain if gain is None else gain

    def forward(self, a: Tensor) -> Tensor:
        return (
            torch.tanh(self.gain * a) if self.options.kind == "tanh" else (self.gain * a).sigmoid()
        )

    def surrogate(self) -> nn.Module:
        """The same at gain 1: of the same sign, with a slope everywhere."""
        return Steep(self.options, 1.0)

    def extra_repr(self) -> str:
        return f"{self.options!r}, gain={self.gain:g}"
