"""Certificates by linear bounds, from the margins back to the input.

Source: Zhang et al. 2018 (CROWN), arXiv:1811.00866; intermediate bounds by intervals: Zhang et al.
2019 (CROWN-IBP), arXiv:1906.06316, sec. 3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.core.threat import Threat
from gradwarden.harden.bounds.network import Network
from gradwarden.harden.bounds.propagate import intervals, lowest
from gradwarden.harden.bounds.region import Region
from gradwarden.harden.certificate import Certificate, certificate


@dataclass(frozen=True, kw_only=True)
class CROWN:
    """Every activation between two lines; the margin's bound is then linear in x.

    `intermediate` bounds, which place the lines, come from "crown" itself, or from "ibp": many
    times cheaper, and looser with every layer. At the input the ball's dual norm gives the least
    value, or the box around the ball where that is more. Computed in float64 and rounded as usual,
    so exact up to about 1e-12 of the largest value on the way.
    """

    intermediate: Literal["crown", "ibp"] = "crown"

    def __post_init__(self) -> None:
        if self.intermediate not in ("crown", "ibp"):
            raise BadInput(f"intermediate must be 'crown' or 'ibp', got {self.intermediate!r}")

    def certify(
        self,
        model: nn.Module,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        batch_size: int = 64,
        on_progress: Progress | None = None,
    ) -> Certificate:
        """x [N, ...] in the threat's box, y [N]. Raises BadInput, which names an unknown module."""
        return certificate(self._margins, model, x, y, threat, batch_size, on_progress)

    def _margins(self, net: Network, region: Region, rows: Tensor) -> Tensor:
        found = intervals(net, region, refine=self.intermediate == "crown")
        by_lines = lowest(net, region, found, len(net.layers), rows, relax=True)
        return by_lines.maximum(lowest(net, region, found, len(net.layers), rows, relax=False))
