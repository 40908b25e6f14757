"""Each feature becomes the number of its bin, or a one-hot row of it.

Source: common in credit scoring; as a defence, the discretisation that Buckman et al. 2018
("Thermometer encoding", ICLR) generalise; Athalye et al. 2018, arXiv:1802.00420, sec. 4.1.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended
from gradwarden.mask.switches import Switches, between
from gradwarden.mask.training import Batches

ENCODINGS = ("ordinal", "one-hot")
RAMP = 4.0  # bins that a ramp rises over, so that it has a slope far from every edge too


@dataclass(frozen=True, kw_only=True)
class BinnedFeatures:
    """Rows [N, F] -> at which of `bins` quantiles each feature stands.

    `encode` "ordinal": [N, F] from 0 to 1. "one-hot": [N, F x bins], feature by feature, which the
    model must take. The model is trained behind the mask.

    Claims: small changes stay in their bin, and a bin has no gradient.
    Breaks: BPDA with ramps between the bins: an edge is near, and crossing it is cheap.
    Cost: one pass over data; little accuracy, sometimes a gain where features are skewed.
    """

    bins: int = 10
    encode: str = "ordinal"

    def __post_init__(self) -> None:
        if not 2 <= self.bins <= 256:
            raise BadInput(f"bins must be in [2, 256], got {self.bins}")
        if self.encode not in ENCODINGS:
            raise BadInput(f"encode must be one of {', '.join(ENCODINGS)}, got {self.encode!r}")

    def fit(self, model: nn.Module, loader: Batches) -> Defended:
        """The model, untouched, behind bins fitted to the x [N, F] of `loader`. Raises BadInput."""
        rows = [x for x, _ in loader]
        if not rows:
            raise BadInput("the loader is empty, expected batches of (x, y)")
        if any(x.ndim != 2 for x in rows):
            raise BadInput(f"BinnedFeatures needs x [N, features], got {tuple(rows[0].shape)}")
        shares = torch.arange(1, self.bins, dtype=torch.float64) / self.bins
        data = torch.cat(rows).double()
        edges = torch.quantile(data, shares.to(data.device), dim=0).T.contiguous()
        return Defended(Binning(self, edges, soft=False), model)


class Binning(nn.Module):
    """x [N, F] -> [N, F] or [N, F x bins]; `soft`: with ramps between the bins."""

    def __init__(self, options: BinnedFeatures, edges: Tensor, *, soft: bool) -> None:
        super().__init__()
        self.options = options
        self.switches = Switches(edges, RAMP * between(edges), soft=soft)

    def forward(self, x: Tensor) -> Tensor:
        features = len(self.switches.edges)
        if x.ndim != 2 or x.shape[1] != features:
            raise BadInput(f"the bins were fitted to [N, {features}], got x {tuple(x.shape)}")
        above: Tensor = self.switches(x)  # [N, F, bins - 1], descending from 1 to 0
        if self.options.encode == "ordinal":
            return above.mean(-1)
        ends = above.new_ones((*above.shape[:-1], 1))
        return -torch.cat([ends, above, 0 * ends], -1).diff(dim=-1).flatten(1)

    def surrogate(self) -> nn.Module:
        """Ramps instead of steps."""
        return Binning(self.options, self.switches.edges, soft=True)

    def extra_repr(self) -> str:
        return repr(self.options)
