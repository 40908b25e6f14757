"""Thresholds crossed or not, and the ramps that stand for them."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Switches(nn.Module):
    """x [..., F or any] -> [..., levels]: 1 where x is at or above each edge, else 0.

    `edges` is [levels], the same for all values, or [F, levels], one row for each of the last
    dimension of x. `widths`, of the same shape: `soft` switches rise over that far around the edge.
    """

    edges: Tensor
    widths: Tensor

    def __init__(self, edges: Tensor, widths: Tensor, *, soft: bool) -> None:
        super().__init__()
        self.soft = soft
        self.register_buffer("edges", edges, persistent=edges.ndim > 1)
        self.register_buffer("widths", widths, persistent=edges.ndim > 1)

    def forward(self, x: Tensor) -> Tensor:
        above = x.unsqueeze(-1) - self.edges.to(x.dtype)
        if self.soft:
            return (above / self.widths.to(x.dtype) + 0.5).clamp(0.0, 1.0)
        return (above >= 0).to(x.dtype)

    def extra_repr(self) -> str:
        return f"levels={self.edges.shape[-1]}, soft={self.soft}"


def between(edges: Tensor) -> Tensor:
    """[..., levels] ascending edges -> widths: half the way between both neighbours."""
    if edges.shape[-1] == 1:
        return torch.ones_like(edges)
    gaps = edges.diff(dim=-1)
    both = torch.cat([gaps[..., :1], gaps], -1) + torch.cat([gaps, gaps[..., -1:]], -1)
    return (both / 2).clamp(min=float(gaps.max().clamp(min=1e-6)) * 1e-2)
