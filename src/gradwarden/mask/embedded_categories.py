"""Columns of integer codes are looked up in a table of learnt vectors.

Source: Guo & Berkhahn 2016, arXiv:1604.06737 (entity embeddings). As a mask: its structure, not its
purpose; a look-up passes no gradient to its index.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended


@dataclass(frozen=True, kw_only=True)
class EmbeddedCategories:
    """Column `columns[k]` of x [N, F] holds codes 0 to `counts[k]` - 1, looked up in `dim` numbers.

    The model takes [N, other columns + columns x `dim`], the other columns first. The tables are
    parameters, trained with it.

    Claims: nothing on purpose; an attack on x never touches a category.
    Breaks: BPDA with the line between neighbouring codes; trying every code, where there are few.
    Cost: none; it is how such columns are usually treated.
    """

    columns: tuple[int, ...]
    counts: tuple[int, ...]
    dim: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.columns or len(set(self.columns)) < len(self.columns) or min(self.columns) < 0:
            raise BadInput(f"columns must be different indices of at least 0, got {self.columns}")
        if len(self.counts) != len(self.columns) or min(self.counts) < 2:
            raise BadInput(
                f"counts must give at least 2 codes for each of {len(self.columns)} columns, got "
                f"{self.counts}"
            )
        if self.dim < 1:
            raise BadInput(f"dim must be at least 1, got {self.dim}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the tables; categories have no gradient, other columns keep theirs."""
        rng = torch.Generator().manual_seed(seed_of(self.seed, "EmbeddedCategories"))
        tables = [torch.randn(count, self.dim, generator=rng) for count in self.counts]
        return Defended(Lookup(self, nn.ParameterList(tables), soft=False), model)


class Lookup(nn.Module):
    """x [N, F] -> [N, other columns + columns x dim]; `soft`: lines between neighbouring codes."""

    def __init__(
        self, options: EmbeddedCategories, tables: nn.ParameterList, *, soft: bool
    ) -> None:
        super().__init__()
        self.options, self.tables, self.soft = options, tables, soft

    def forward(self, x: Tensor) -> Tensor:
        columns = self.options.columns
        if x.ndim != 2 or x.shape[1] <= max(columns):
            raise BadInput(f"EmbeddedCategories needs x [N, over {max(columns)}], got {x.shape}")
        others = [place for place in range(x.shape[1]) if place not in columns]
        look = between_codes if self.soft else nearest_code
        pairs = zip(columns, self.tables, strict=True)
        return torch.cat([x[:, others], *(look(x[:, at], table) for at, table in pairs)], 1)

    def surrogate(self) -> nn.Module:
        """The line between the vectors of neighbouring codes; on the same tables."""
        return Lookup(self.options, self.tables, soft=True)

    def extra_repr(self) -> str:
        return repr(self.options)


def nearest_code(codes: Tensor, table: Tensor) -> Tensor:
    """codes [N] -> the vector of the nearest code [N, dim]."""
    at = codes.detach().round().long().clamp(0, len(table) - 1)
    return table[at].to(codes.dtype)


def between_codes(codes: Tensor, table: Tensor) -> Tensor:
    """codes [N] -> [N, dim], linear from one code to the next."""
    low = codes.detach().floor().long().clamp(0, len(table) - 2)
    share = (codes - low)[:, None]
    return (1 - share) * table[low].to(codes.dtype) + share * table[low + 1].to(codes.dtype)
