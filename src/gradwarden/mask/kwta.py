"""Of each layer's activations only the largest stay.

Source: Xiao et al. 2020, arXiv:1905.10510, sec. 3 (k winners take all).
Differs: like the authors' code, values equal to the smallest winner all stay, so ties keep more.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.inside import chosen, replaced

SCOPES = ("volume", "channel")
STEEP = 8.0  # of the soft gate; steeper ones are as hard as the mask, flatter ones another net


@dataclass(frozen=True, kw_only=True)
class KWTA:
    """Activations are replaced by "the largest `share` stay, the others become 0".

    `scope` "volume" ranks all values of a sample's layer, "channel" those of each channel alone.
    `paths` names the modules to replace; all activations if empty.

    Claims: which values win changes with every small step, so the gradient here says nothing
    about the loss a step further on.
    Breaks: gradients averaged over many points nearby; a gate that closes softly, as surrogate.
    Cost: one selection a layer; accuracy, unless the model is trained (further) with it.
    """

    share: float = 0.1
    scope: str = "volume"
    paths: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not 0.0 < self.share < 1.0:
            raise BadInput(f"share must be in (0, 1), got {self.share}")
        if self.scope not in SCOPES:
            raise BadInput(f"scope must be one of {', '.join(SCOPES)}, got {self.scope!r}")

    def defend(self, model: nn.Module) -> nn.Module:
        """The model with other activations, on the same weights; train it further in place."""
        return replaced(model, chosen(model, self.paths), lambda _: Winners(self))


class Winners(nn.Module):
    """a [N, C, ...] -> a where it is among the largest, else 0; at least one stays."""

    def __init__(self, options: KWTA) -> None:
        super().__init__()
        self.options = options

    def forward(self, a: Tensor) -> Tensor:
        return a * (a >= smallest_winner(a, self.options)).to(a.dtype)

    def surrogate(self) -> nn.Module:
        """A gate that closes softly below the smallest winner."""
        return SoftWinners(self.options)

    def extra_repr(self) -> str:
        return repr(self.options)


class SoftWinners(nn.Module):
    """a times a sigmoid of its distance to the smallest winner, in standard deviations of a."""

    def __init__(self, options: KWTA) -> None:
        super().__init__()
        self.options = options

    def forward(self, a: Tensor) -> Tensor:
        if not len(a):
            return a
        spread = a.detach().std().clamp(min=1e-12)
        above = a - smallest_winner(a, self.options).detach()
        return a * (STEEP * above / spread).sigmoid()


def smallest_winner(a: Tensor, options: KWTA) -> Tensor:
    """[N, 1, 1, ...] or [N, C, 1, ...]: the value that k values reach."""
    kept = 1 if options.scope == "volume" else 2
    if a.ndim <= kept:
        raise BadInput(
            f"KWTA with scope {options.scope!r} needs activations of more than {kept} dimensions, "
            f"got {tuple(a.shape)}: use another scope or name the modules in paths"
        )
    flat = a.flatten(kept)
    k = max(1, int(options.share * flat.shape[-1]))
    kth = flat.topk(k, -1).values[..., -1]
    return kth.reshape(*a.shape[:kept], *[1] * (a.ndim - kept))
