"""How far from a local maximum the attack ended.

Source: Wang et al. 2019, ICML, PMLR 97 (first-order stationary condition, FOSC).
Differs: in any ball and box; as a share of the most that the gradient could still gain across the
ball; 1 for a zero gradient, which is 0 by the formula as if converged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradwarden.audit.indicators.indicator import Said, percent, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.audit.indicators.walk import Walked
from gradwarden.core.examination import Indicator
from gradwarden.core.geometry import tiny
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class FirstOrderStationarity:
    """The median of what is left to gain at PGD's end, over the most across the ball."""

    threshold: float = 0.5
    name: ClassVar[str] = "first-order stationarity"
    source: ClassVar[str] = "Wang et al. 2019, ICML, PMLR 97 (FOSC)"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        left = _left(tried.problem.threat, tried.problem.x, tried.path)
        median = float(left.median())
        says = (
            f"After {tried.steps} steps the median sample could still gain {percent(median)} of "
            "what its gradient offers across the ball."
        )
        return Said(median, median > self.threshold, says)


def _left(threat: Threat, x: Tensor, path: Walked) -> Tensor:
    """[K] the share of <edge - x, g> that <last - x, g> leaves; g is the gradient at the last."""
    flat = path.grads[-1].flatten(1)
    grad = (flat / flat.abs().amax(1, keepdim=True).clamp(min=tiny(flat))).view_as(x)
    most = _inner(threat.step(x, grad, 1.0, x) - x, grad)
    done = _inner(path.last - x, grad)
    return torch.where(most > 0, 1 - done / most.clamp(min=1e-300), 1.0).clamp(min=0.0)


def _inner(one: Tensor, two: Tensor) -> Tensor:
    """[K], row by row."""
    return (one.double() * two.double()).flatten(1).sum(1)
