"""Rounding against the levels written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.bit_depth import BitDepth


@pytest.mark.parametrize("bits", [1, 2, 3, 8])
def test_every_value_goes_to_the_nearest_level(bits: int) -> None:
    mask = BitDepth(bits=bits).defend(nn.Identity()).mask
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)[None]
    levels = torch.linspace(0, 1, 2**bits, dtype=torch.float64)
    nearest = levels[(x[0, :, None] - levels).abs().argmin(1)]
    out = mask(x)[0]
    assert len(out.unique()) == 2**bits
    off = (out - nearest).abs() > 1e-12
    assert ((x[0] - out).abs() <= 0.5 / (2**bits - 1) + 1e-12).all()
    assert off.float().mean() < 0.01  # exactly between two levels either will do


def test_other_boxes() -> None:
    mask = BitDepth(bits=1, box=(-2.0, 6.0)).defend(nn.Identity()).mask
    x = torch.tensor([[-2.0, 1.9, 2.1, 6.0]])
    assert mask(x).tolist() == [[-2.0, -2.0, 6.0, 6.0]]


@pytest.mark.parametrize("options", [{"bits": 0}, {"bits": 17}, {"box": (1.0, 1.0)}])
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="must be"):
        BitDepth(**options)
