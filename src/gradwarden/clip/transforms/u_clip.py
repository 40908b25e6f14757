"""What is clipped away is not lost: it is carried over and added to the next gradient.

Source: Elesedy & Hutter 2023 (U-Clip), arXiv:2302.02971, algorithm 1.
Differs: any rule may do the clipping, the paper has a fixed bound; the carry of a step whose
gradient is not finite stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradwarden.clip.norm import powers
from gradwarden.clip.rule import Measured, Rule, describe
from gradwarden.core.errors import BadInput


class UClipState(NamedTuple):
    carry: tuple[Tensor, ...]  # one of the shape and dtype of each gradient
    rule: Any  # the state of the rule


@dataclass(frozen=True, repr=False)
class UClip:
    """Clip gradient + carry by `rule`; the carry is then what was cut off.

    On average over the steps the clipped gradients are unbiased. Costs the memory of one more copy
    of the gradients. Rules of the scopes "total", "tensor" and "element" that look at norms alone.
    """

    rule: Rule[Any]
    __repr__ = describe

    def __post_init__(self) -> None:
        if not isinstance(self.rule, Rule):
            raise BadInput(f"expected a rule such as UClip(MaxNorm(1.0)), got {self.rule!r}")
        needs = self.rule.needs
        if self.rule.scope == "unit" or needs.weights or needs.loss or needs.skips:
            raise BadInput(f"UClip needs a rule that looks at norms alone, got {self.rule!r}")

    def init(self, params: Sequence[Tensor], home: torch.device) -> UClipState:
        shape = () if self.rule.scope == "total" else (len(params),)
        carry = tuple(torch.zeros_like(p, requires_grad=False) for p in params)
        return UClipState(carry, self.rule.init(torch.zeros(shape, device=home)))

    def apply(self, grads: Sequence[Tensor], state: UClipState) -> tuple[list[Tensor], UClipState]:
        wanted = [g + c for g, c in zip(grads, state.carry, strict=True)]
        p = float("inf") if self.rule.scope == "element" else self.rule.needs.p
        measured = powers(wanted, p)
        total = measured.total().float()
        norms = total if self.rule.scope == "total" else measured.tensors().float()
        thresholds, inner = self.rule.step(Measured(norms=norms, total=total), state.rule)
        thresholds = thresholds.expand_as(norms)
        share = torch.where(norms > thresholds, thresholds / norms, 1.0).expand(len(wanted))
        bounds = thresholds.expand(len(wanted))
        if self.rule.scope == "element":
            out = [_bounded(w, t) for w, t in zip(wanted, bounds.unbind(), strict=True)]
        else:
            out = [w * c.to(w.dtype) for w, c in zip(wanted, share.unbind(), strict=True)]
        carry = tuple(w - u for w, u in zip(wanted, out, strict=True))
        return out, UClipState(carry, inner)


def _bounded(values: Tensor, bound: Tensor) -> Tensor:
    modulus = values.abs()
    return torch.where(modulus > bound, values * (bound / modulus).to(values.dtype), values)
