"""Dropout that stays on when the model is used.

Source: Feinman et al. 2017, arXiv:1703.00410, sec. 3.2 (dropout at inference); Dhillon et al. 2018,
arXiv:1803.01442, sec. 4 (as a defence).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import dropout

from gradwarden.core.errors import BadInput
from gradwarden.mask.inside import chosen, paths_of, replaced

LAYERS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout)


@dataclass(frozen=True, kw_only=True)
class InferenceDropout:
    """Dropout of probability `p` after every activation, or after the modules at `paths`.

    `p=None`: the model's own dropout layers stay on instead, each with its own probability. Draws
    come from PyTorch's global generator, as in a deployed model: `torch.manual_seed` freezes them.

    Claims: the attacked network is not there the next time.
    Breaks: gradients averaged over the draws (EOT); the surrogate keeps every value, the mean.
    Cost: accuracy, and answers that differ from call to call.
    """

    p: float | None = 0.3
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.p is not None and not 0.0 < self.p < 1.0:
            raise BadInput(f"p must be in (0, 1) or None, got {self.p}")
        if self.p is None and self.paths:
            raise BadInput("paths needs p: with p=None the model's own dropout layers are used")

    def defend(self, model: nn.Module) -> nn.Module:
        """The model with dropout that eval mode does not stop, on the same weights."""
        p = self.p
        if p is not None:
            where = chosen(model, self.paths)
            return replaced(model, where, lambda old: nn.Sequential(old, StayingDropout(self, p)))
        own = paths_of(model, LAYERS)
        if not own:
            raise BadInput("the model has no dropout layer to leave on: give p, a probability")

        def left_on(old: nn.Module) -> nn.Module:
            assert isinstance(old, LAYERS)
            return StayingDropout(self, old.p)

        return replaced(model, own, left_on)


class StayingDropout(nn.Module):
    """a [N, ...] -> a with values dropped, the others scaled up, in either mode."""

    def __init__(self, options: InferenceDropout, p: float) -> None:
        super().__init__()
        self.options, self.p = options, p

    def forward(self, a: Tensor) -> Tensor:
        return dropout(a, self.p, training=True)

    def surrogate(self) -> nn.Module:
        """The identity: the mean over the draws."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return f"{self.options!r}, p={self.p}"
