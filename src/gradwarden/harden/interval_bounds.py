"""Certificates by interval arithmetic: cheap, and loose for nets that were not trained for it.

Source: Gowal et al. 2018, arXiv:1810.12715, sec. 3.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from gradwarden.core.protocols import Progress
from gradwarden.core.threat import Threat
from gradwarden.harden.bounds.network import Network
from gradwarden.harden.bounds.propagate import intervals, lowest
from gradwarden.harden.bounds.region import Region
from gradwarden.harden.certificate import Certificate, certificate


@dataclass(frozen=True, kw_only=True)
class IntervalBounds:
    """Each value of the net in an interval, element by element, for the ball within the box.

    Costs about 2 forwards. Any ball but Linf is replaced by the box around it. Computed in float64
    and rounded as usual, so exact up to about 1e-12 of the largest value on the way.
    """

    def certify(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        batch_size: int = 256,
        on_progress: Progress | None = None,
    ) -> Certificate:
        """x [N, ...] in the threat's box, y [N]. Raises BadInput, which names an unknown module."""
        return certificate(_margins, model, x, y, threat, batch_size, on_progress)


def _margins(net: Network, region: Region, rows: Tensor) -> Tensor:
    found = intervals(net, region, refine=False)
    return lowest(net, region, found, len(net.layers), rows, relax=False)
