"""Intervals forwards through a network, and lower bounds of rows backwards.

Source: Zhang et al. 2018 (CROWN), arXiv:1811.00866, sec. 3; Gowal et al. 2018, arXiv:1810.12715,
sec. 3 (intervals; the last linear layer is joined with the margins).
Differs: intermediate bounds are refined only where an activation bends.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gradwarden.harden.bounds.activation import Activation, Leaky
from gradwarden.harden.bounds.layer import Interval, Layer, least
from gradwarden.harden.bounds.network import Network
from gradwarden.harden.bounds.region import Region

ELEMENTS = 2**22  # of the largest tensor held at a time, about


def intervals(net: Network, region: Region, *, refine: bool) -> list[Interval]:
    """Where each value lies; with `refine`, those that enter a bent layer by CROWN."""
    found, exact = [region.hull], net.exact
    for layer, inputs in zip(net.layers, net.inputs, strict=True):
        if refine and not layer.linear:
            for i in inputs:
                if i:
                    found[i] = _refined(net, region, found, i, layer, shared=exact[i])
        found.append(layer.interval(*(found[i] for i in inputs)))
    return found


def lowest(
    net: Network, region: Region, found: list[Interval], value: int, rows: Tensor, *, relax: bool
) -> Tensor:
    """[N, R] a lower bound of rows [B, R, ...] . value over the region.

    Without `relax` the rows go back through linear layers alone, and end in intervals.
    """
    pending = {value: rows}
    bound: Tensor | float = 0.0
    for i in range(value, 0, -1):
        if i not in pending:
            continue
        rows, layer, inputs = pending.pop(i), net.layers[i - 1], net.inputs[i - 1]
        if not layer.linear and not relax:
            bound = bound + least(rows, found[i])
            continue
        back = layer.back(rows, *(found[j] for j in inputs))
        bound = bound + back.offset
        for j, part in zip(inputs, back.rows, strict=True):
            pending[j] = pending[j] + part if j in pending else part
    return bound + region.least(pending[0]) if 0 in pending else region.x.new_zeros(()) + bound


def _refined(
    net: Network, region: Region, found: list[Interval], value: int, layer: Layer, *, shared: bool
) -> Interval:
    """The interval of `value`, cut down where the layer that it enters needs it."""
    low, high = (end.flatten(1).clone() for end in found[value])
    chosen = _chosen(layer, low, high, shared)
    if not chosen.shape[1]:
        return found[value]
    sizes = [end.low[0].numel() for end in found]
    step = max(1, ELEMENTS // (2 * len(chosen) * max(sizes)))
    for where in chosen.split(step, dim=1):
        rows = torch.zeros(*where.shape, low.shape[1], dtype=low.dtype, device=low.device)
        rows.scatter_(2, where[:, :, None], 1.0)
        rows = rows.view(*where.shape, *found[value].low.shape[1:])
        both = lowest(net, region, found, value, torch.cat([rows, -rows], 1), relax=True)
        below, above = both.expand(len(low), -1).chunk(2, 1)
        at = where.expand(len(low), -1)
        low.scatter_(1, at, low.gather(1, at).maximum(below))
        high.scatter_(1, at, high.gather(1, at).minimum(-above))
    return Interval(low.view_as(found[value].low), high.view_as(found[value].high))


def _chosen(layer: Layer, low: Tensor, high: Tensor, shared: bool) -> Tensor:
    """[B, K] elements to refine: for all samples the same, or for each its own."""
    bends = (low < high) & ((low < 0) & (high > 0) if _piecewise(layer) else True)
    if shared:
        return bends.any(0).nonzero().T
    most = int(bends.sum(1).max())
    return bends.to(torch.uint8).topk(most, dim=1).indices


def _piecewise(layer: Layer) -> bool:
    """Whether it bends at 0 alone."""
    return isinstance(layer, Activation) and isinstance(layer.curve, Leaky)
