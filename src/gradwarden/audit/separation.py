"""The widest margin between one point and many: a perfect linear classifier of one against all.

It is what logistic regression without a penalty tends to on separable data (Soudry et al. 2018,
arXiv:1710.10345).

Source: Mitchell, Dem'yanov & Malozemov 1974, SIAM J. Control 12(1) (nearest point of a polytope);
Keerthi et al. 2000, IEEE Trans. Neural Networks 11(1) (the same as a support vector machine).
Differs: many problems at once, and an early end where all of them are settled.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.geometry import tiny

STEPS = 3000
TOLERANCE = 0.02  # relative: how far the margin found may be below the widest


class Separated(NamedTuple):
    """Of S problems: `features @ weight + bias` is below 0 for the many, above 0 for the one."""

    weight: Tensor  # [S, F]
    bias: Tensor  # [S]
    apart: Tensor  # [S] bool: such a classifier was found


def separate(many: Tensor, one: Tensor) -> Separated:
    """many [S, M, F] against one [S, F]; the boundary halves the gap, the median margin is 1."""
    towards = one[:, None] - many
    size = towards.flatten(1).norm(dim=1).clamp(min=tiny(towards))
    towards = towards / size[:, None, None]
    shares = _nearest(towards @ towards.mT)
    weight = torch.einsum("sm,smf->sf", shares, towards)
    ahead = torch.einsum("smf,sf->sm", towards, weight)  # of each of the many, the one is so far
    gap = ahead.amin(1)
    apart = gap > 1e-9 * towards.square().sum(2).amax(1)
    scale = (ahead - gap[:, None] / 2).abs().median(1).values.where(apart, 1.0)
    weight = weight / (size * scale)[:, None]
    bias = gap / (2 * scale) - (one * weight).sum(1)
    return Separated(weight, bias, apart)


def _nearest(gram: Tensor) -> Tensor:
    """[S, M] the shares of M points, products [S, M, M], in the point of their hull nearest to 0.

    Each step moves weight from the farthest point along the current one to the nearest.
    """
    every = torch.arange(len(gram), device=gram.device)
    start = gram.diagonal(dim1=1, dim2=2).argmin(1)
    shares = torch.zeros_like(gram[:, 0])
    shares[every, start] = 1.0
    along = gram[every, start].clone()
    for step in range(STEPS):
        low = along.argmin(1)
        high = along.masked_fill(shares <= 0, float("-inf")).argmax(1)
        gap = along[every, high] - along[every, low]
        if step % 20 == 0:
            squared = (shares * along).sum(1)
            settled = squared - along[every, low] <= TOLERANCE * squared
            if bool(settled.all()):
                break
        bend = gram[every, low, low] + gram[every, high, high] - 2 * gram[every, low, high]
        moved = (gap / bend.clamp(min=tiny(gram))).minimum(shares[every, high])
        shares[every, low] += moved
        shares[every, high] -= moved
        along += moved[:, None] * (gram[every, low] - gram[every, high])
    return shares
