"""Small deviations from a channel's mean are flattened before each activation.

Source: Amini et al. 2024, arXiv:2406.05927, sec. 3 (MeanSparse).
Differs: statistics are those of the batches given to `fit`, in two passes' precision (float64).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.devices import device_of
from gradwarden.core.errors import BadInput
from gradwarden.mask.inside import chosen, replaced


@dataclass(frozen=True, kw_only=True)
class MeanSparse:
    """Before an activation, values within `threshold` deviations of their channel's mean become it.

    `paths` names the modules before which this happens; all activations if empty.

    Claims: what varies little carries nothing but an attacker's noise.
    Breaks: BPDA with the identity: inside the flat part the gradient is truly 0, so even a correct
    derivative says nothing.
    Cost: one pass over data; little accuracy up to thresholds of about 0.3.
    """

    threshold: float = 0.2
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.threshold < float("inf"):
            raise BadInput(
                f"threshold must be above 0, in standard deviations, got {self.threshold}"
            )

    def fit(self, model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> nn.Module:
        """The model with the flattening inside, on the same weights, which are not trained.

        `loader` gives (x [N, ...], y [N]); the model sees x in eval mode. Raises BadInput.
        """
        paths = chosen(model, self.paths)
        place = device_of(model)
        watched = replaced(model, paths, lambda old: nn.Sequential(Moments(), old)).eval()
        seen = False
        with torch.no_grad():
            for x, _ in loader:
                watched(x.to(place))
                seen = True
        if not seen:
            raise BadInput("the loader is empty, expected batches of (x, y)")

        found = iter([watched.get_submodule(f"{path}.0".lstrip(".")) for path in paths])
        return replaced(model, paths, lambda old: nn.Sequential(Flattened(self, next(found)), old))


class Moments(nn.Module):
    """Passes a [N, C, ...] on and keeps count, mean and squared deviations of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.mean = self.squares = torch.zeros(())

    def forward(self, a: Tensor) -> Tensor:
        if a.ndim < 2:
            raise BadInput(f"MeanSparse needs activations [N, C, ...], got {tuple(a.shape)}")
        rows = a.double().movedim(1, -1).flatten(0, -2)
        mean = rows.mean(0)
        total = self.count + len(rows)
        away = mean - self.mean.to(mean)
        # Chan et al.: two samples' moments put together without the loss of E[x^2] - E[x]^2.
        self.squares = self.squares.to(mean) + (rows - mean).square().sum(0)
        self.squares = self.squares + away.square() * self.count * len(rows) / total
        self.mean = self.mean.to(mean) + away * len(rows) / total
        self.count = total
        return a


class Flattened(nn.Module):
    """a [N, C, ...] -> the channel's mean where a is near it, else a."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, options: MeanSparse, seen: nn.Module) -> None:
        super().__init__()
        assert isinstance(seen, Moments)
        self.options = options
        self.register_buffer("mean", seen.mean)
        self.register_buffer("deviation", (seen.squares / seen.count).sqrt())

    def forward(self, a: Tensor) -> Tensor:
        sizes = (1, -1, *[1] * (a.ndim - 2))
        mean = self.mean.to(a.dtype).view(sizes)
        near = (a - mean).abs() < self.options.threshold * self.deviation.to(a.dtype).view(sizes)
        return torch.where(near, mean, a)

    def surrogate(self) -> nn.Module:
        """The identity: at most `threshold` deviations away."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)
