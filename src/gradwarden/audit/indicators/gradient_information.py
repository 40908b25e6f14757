"""The gradient at x does not point where the boundary's does.

Source: Gomes 2022, arXiv:2204.04778 (gradient information).
Differs: the boundary point lies between x and an adversarial point at hand, found by halving; the
authors take DeepFool's, which follows the very gradient that is in question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import NotRunError, Tried, cosine
from gradwarden.core.examination import Indicator
from gradwarden.core.geometry import per_sample

HALVINGS = 8


@dataclass(frozen=True, kw_only=True)
class GradientInformation:
    """The median cosine of the margin's gradient at x and at the boundary is below `threshold`."""

    threshold: float = 0.1
    name: ClassVar[str] = "gradient information"
    source: ClassVar[str] = "Gomes 2022, arXiv:2204.04778"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        if tried.problem.threat.constraints is not None:
            raise NotRunError("the threat's constraints leave no points between two samples")
        far, has = _adversarial(tried)
        if not has.any():
            raise NotRunError("no attack found a point beyond the boundary")
        at = tried.slope("margin", _boundary(tried, far))
        value = float(cosine(tried.at_x["margin"].grad, at.grad)[has].median())
        says = (
            f"The gradients at x and at the boundary have a cosine of {value:.2f} in the median of "
            f"{int(has.sum())} samples."
        )
        return Said(value, value < self.threshold, says)


def _adversarial(tried: Tried) -> tuple[Tensor, Tensor]:
    """[K, ...] an adversarial point, [K] bool where one was found."""
    far, has = tried.path.best, tried.path.reached.any(0)
    for found in (tried.square, tried.dlr):
        far = torch.where(per_sample(has, far), far, found.x_adv)
        has = has | found.success
    return far, has


def _boundary(tried: Tried, far: Tensor) -> Tensor:
    """[K, ...] where the margin changes its sign on the way from x to `far`."""
    near, x = torch.zeros(len(far), dtype=far.dtype, device=far.device), tried.problem.x
    for step in range(HALVINGS):
        ahead = near + 0.5 ** (step + 1)
        stays = tried.margins([x + per_sample(ahead, x) * (far - x)])[0] <= 0
        near = torch.where(stays, ahead, near)
    return x + per_sample(near, x) * (far - x)
