"""Answers and losses that are other ones in float64.

Source: Ma et al. 2020, arXiv:2006.13726 (imbalanced gradients); Carlini & Wagner 2017,
arXiv:1608.04644, sec. IV. Differs: the same gradient at two precisions, instead of two attacks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from gradwarden.attack.gradient import input_gradient, usable
from gradwarden.attack.memory import out_of_memory
from gradwarden.audit.case import Case, quiet
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class LostPrecision:
    """For over `share` of samples the class, or the direction of cross-entropy's gradient, differs.

    Gradients that are exactly zero are left to `SaturatedLoss`.
    """

    share: float = 0.25  # honest nets are this sure of a few samples
    alike: float = 0.9  # cosine from which two gradients show the same way
    cure: ClassVar[str] = "double"
    seeks: ClassVar[str] = "module"

    def __post_init__(self) -> None:
        if not (0.0 <= self.share < 1.0 and 0.0 < self.alike < 1.0):
            raise BadInput(
                f"share must be in [0, 1) and alike in (0, 1), got {self.share} and {self.alike}"
            )

    def check(self, case: Case) -> tuple[Finding, ...]:
        fine = case.fine
        if fine is None or case.logits.ndim != 2 or not case.steady:
            return ()
        other = case.logits.argmax(1) != fine.logits.argmax(1)
        turned = self._turned(case, fine)
        lost = float((other | turned).float().mean())
        if lost <= self.share:
            return ()
        what = "the answer" if float(other.float().mean()) > self.share else "the loss's gradient"
        return (
            Finding(
                check="lost-precision",
                module=None,
                value=lost,
                threshold=self.share,
                share=lost,
                why=f"Computed in float64, {what} is another one: rounding decides it.",
                remedy="An attack must take the gradient in float64.",
            ),
        )

    def _turned(self, case: Case, fine: Case) -> Tensor:
        """[N] bool: both gradients are there, and show different ways."""
        one, two = _gradient(case), _gradient(fine)
        if one is None or two is None:
            return torch.zeros(len(case.x), dtype=torch.bool, device=case.x.device)
        one, two = (g.double().flatten(1) for g in (one, two))
        one, two = (g / g.abs().amax(1, keepdim=True).clamp(min=1e-300) for g in (one, two))
        there = one.any(1) & two.any(1)
        return there & (functional.cosine_similarity(one, two, dim=1) < self.alike)


def _gradient(case: Case) -> Tensor | None:
    leaf = case.x.detach().clone().requires_grad_()
    try:
        with quiet(case.x, case.seed), torch.enable_grad():
            z = case.model(leaf.clone())
            grad = input_gradient(functional.cross_entropy(z, case.y, reduction="none"), leaf)
    except Exception as why:  # it refuses an input with a graph
        if out_of_memory(why):
            raise
        return None
    return None if grad is None else usable(grad)
