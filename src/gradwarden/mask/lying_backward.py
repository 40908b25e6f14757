"""The identity, whose backward tells zeros, the opposite, or anything.

Source: the "gradient killer" of AutoAttack's issue 43; Athalye et al. 2018, arXiv:1802.00420,
sec. 3.1 (a gradient that is wrong on purpose or by mistake).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended

KINDS = ("zero", "reversed", "random")


@dataclass(frozen=True, kw_only=True)
class LyingBackward:
    """Forward nothing changes; backward the gradient is replaced, by `kind`.

    "zero": zeros. "reversed": times -1, so that who climbs the loss descends it. "random": normal
    noise with the gradient's root mean square, drawn from PyTorch's global generator.

    Claims: attacks that the very same model falls to without it fail.
    Breaks: BPDA with the identity, which is exact; any attack without gradients.
    Cost: none.
    """

    kind: str = "zero"

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"kind must be one of {', '.join(KINDS)}, got {self.kind!r}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind an identity that lies."""
        return Defended(Liar(self), model)


class Liar(nn.Module):
    """x [N, ...] -> x, with another gradient."""

    def __init__(self, options: LyingBackward) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        apply: Callable[[Tensor, str], Tensor] = _Lie.apply
        return apply(x, self.options.kind)

    def surrogate(self) -> nn.Module:
        """The identity, exactly."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)


class _Lie(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kind: str) -> Tensor:
        ctx.kind = kind
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (grad,) = grads
        if ctx.kind == "zero":
            return torch.zeros_like(grad), None
        if ctx.kind == "reversed":
            return -grad, None
        return torch.randn_like(grad) * grad.square().mean().sqrt(), None
