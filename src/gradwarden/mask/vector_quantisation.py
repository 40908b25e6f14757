"""Patches of the input are replaced by the nearest of a learnt set of patches.

Source: Moosavi-Dezfooli et al. 2018, arXiv:1802.06806 (patches from a dictionary); the codebook by
Lloyd 1982, IEEE Trans. Inf. Theory 28(2), started as in Arthur & Vassilvitskii 2007 (k-means++).
Differs: patches do not overlap, and one codeword stands for each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.mask.defended import Defended

ROUNDS = 20  # of Lloyd's algorithm; the distortion hardly falls after ten
MOST = 20_000  # patches that the codebook is fitted to


@dataclass(frozen=True, kw_only=True)
class VectorQuantisation:
    """Every patch of `patch` values a side becomes one of `codes` codewords.

    Claims: what no codeword shows is removed, and the choice of a codeword has no gradient.
    Breaks: BPDA with a mean of codewords, weighted by how near they are; the identity is a weaker
    choice, for a patch between two words goes to either whatever its gradient says.
    Cost: detail that the codebook lacks; a distance to every codeword for every patch.
    """

    codes: int = 64
    patch: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 2 <= self.codes <= 65_536:
            raise BadInput(f"codes must be in [2, 65536], got {self.codes}")
        if self.patch < 1:
            raise BadInput(f"patch must be at least 1, got {self.patch}")

    def fit(self, model: nn.Module, loader: Iterable[tuple[Tensor, Tensor]]) -> Defended:
        """The model, untouched, behind a codebook fitted to the x of `loader`. Raises BadInput."""
        patches = [cut(x, self.patch) for x, _ in loader]
        if not patches:
            raise BadInput("the loader is empty, expected batches of (x, y)")
        rng = torch.Generator().manual_seed(seed_of(self.seed, "VectorQuantisation"))
        rows = torch.cat(patches).flatten(0, 1).cpu()
        rows = rows[torch.randperm(len(rows), generator=rng)[:MOST]]
        if len(rows.unique(dim=0)) < self.codes:
            raise BadInput(f"{self.codes} codes need as many distinct patches, got fewer: lower it")
        words = k_means(rows, self.codes, rng)
        spread = torch.cdist(rows, words).amin(1).square().mean()
        return Defended(Codebook(self, words, spread), model)


class Codebook(nn.Module):
    """x [N, C, T] or [N, C, H, W] -> the same shape, of codewords."""

    words: Tensor  # [codes, D]
    spread: Tensor  # [], the mean squared distance of a patch to its word

    def __init__(self, options: VectorQuantisation, words: Tensor, spread: Tensor) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("words", words)
        self.register_buffer("spread", spread)

    def forward(self, x: Tensor) -> Tensor:
        patches = cut(x.detach(), self.options.patch)
        words = self.words.to(x.dtype)
        nearest = torch.cdist(patches, words[None]).argmin(-1)
        return put(words[nearest], x.shape, self.options.patch)

    def surrogate(self) -> nn.Module:
        """The mean of all words, weighted by nearness."""
        return SoftCodebook(self.words, self.spread, self.options.patch)

    def extra_repr(self) -> str:
        return repr(self.options)


class SoftCodebook(nn.Module):
    """x -> its patches as mixtures of codewords, of the same shape."""

    words: Tensor
    spread: Tensor

    def __init__(self, words: Tensor, spread: Tensor, patch: int) -> None:
        super().__init__()
        self.patch = patch
        self.register_buffer("words", words)
        self.register_buffer("spread", spread)

    def forward(self, x: Tensor) -> Tensor:
        words = self.words.to(x.dtype)
        far = (cut(x, self.patch).unsqueeze(-2) - words).square().sum(-1)  # [N, patches, codes]
        heat = 0.5 * self.spread.to(x.dtype).clamp(min=1e-8)
        return put((-far / heat).softmax(-1) @ words, x.shape, self.patch)


def cut(x: Tensor, side: int) -> Tensor:
    """x [N, C, T] or [N, C, H, W] -> patches [N, patches, C x side^d]."""
    if x.ndim not in (3, 4) or any(length % side for length in x.shape[2:]):
        raise BadInput(
            f"VectorQuantisation needs x [N, C, T] or [N, C, H, W] with sides that {side} divides, "
            f"got {tuple(x.shape)}"
        )
    for place in range(2, x.ndim):
        x = x.unfold(place, side, side)
    places = (x.ndim - 2) // 2  # [N, C, *grid, *patch]
    return x.movedim(1, 1 + places).flatten(1 + places).flatten(1, places)


def put(patches: Tensor, shape: tuple[int, ...], side: int) -> Tensor:
    """The inverse of `cut`, for x of `shape`."""
    grid = [length // side for length in shape[2:]]
    x = patches.reshape(shape[0], *grid, shape[1], *[side] * len(grid))
    x = x.movedim(1 + len(grid), 1)  # [N, C, *grid, *patch]
    order = [axis for k in range(len(grid)) for axis in (2 + k, 2 + len(grid) + k)]
    return x.permute(0, 1, *order).reshape(shape)


def k_means(rows: Tensor, codes: int, rng: torch.Generator) -> Tensor:
    """rows [M, D] -> centres [codes, D]."""
    centres = rows[torch.randint(len(rows), (1,), generator=rng)]
    nearest = torch.full((len(rows),), math.inf, dtype=rows.dtype)
    for _ in range(codes - 1):
        nearest = torch.minimum(nearest, (rows - centres[-1]).square().sum(1))
        pick = torch.multinomial(nearest.double(), 1, generator=rng)
        centres = torch.cat([centres, rows[pick]])
    for _ in range(ROUNDS):
        owner = torch.cdist(rows, centres).argmin(1)
        size = torch.bincount(owner, minlength=codes)
        total = torch.zeros_like(centres).index_add_(0, owner, rows)
        filled = size > 0
        centres = torch.where(filled[:, None], total / size.clamp(min=1)[:, None], centres)
    return centres
