"""The mask is the codec itself: a differentiable imitation of it would fail here."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.mask.jpeg import JPEG


def by_hand(x: Tensor, quality: int) -> Tensor:
    """One image [channels, H, W] through a file, pixel by pixel."""
    channels, height, width = x.shape
    image = Image.new("L" if channels == 1 else "RGB", (width, height))
    for row in range(height):
        for column in range(width):
            pixel = tuple(round(float(v) * 255) for v in x[:, row, column])
            image.putpixel((column, row), pixel[0] if channels == 1 else pixel)
    file = io.BytesIO()
    image.save(file, format="JPEG", quality=quality)
    values = np.array(Image.open(file), dtype=np.float64).reshape(height, width, channels) / 255
    return torch.from_numpy(values).permute(2, 0, 1)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("quality", [10, 50])
def test_bit_equal_to_the_codec(channels: int, quality: int) -> None:
    levels = torch.randint(256, (3, channels, 17, 12), generator=torch.Generator().manual_seed(0))
    x = levels.double() / 255
    out = JPEG(quality=quality).defend(nn.Identity()).mask(x)
    assert torch.equal(out, torch.stack([by_hand(image, quality) for image in x]))
    assert not torch.equal(out, x)


def test_no_graph_leads_through_it() -> None:
    x = torch.rand(2, 1, 8, 8, requires_grad=True)
    assert not JPEG().defend(nn.Identity()).mask(x).requires_grad


def test_it_ignores_changes_below_half_a_level_and_keeps_256_levels() -> None:
    x = torch.full((1, 1, 8, 8), 100 / 255)
    mask = JPEG().defend(nn.Identity()).mask
    assert torch.equal(mask(x), mask(x + 0.4 / 255))
    assert torch.equal(mask(x), mask(x - 0.4 / 255))
    assert torch.equal(mask(x) * 255, (mask(x) * 255).round())


@pytest.mark.parametrize("shape", [(2, 8), (2, 8, 8), (2, 2, 8, 8), (2, 4, 8, 8)])
def test_what_is_no_image_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="JPEG needs images"):
        JPEG().defend(nn.Identity()).mask(torch.rand(shape))


@pytest.mark.parametrize("quality", [0, 96])
def test_bad_quality(quality: int) -> None:
    with pytest.raises(BadInput, match="quality must be in"):
        JPEG(quality=quality)
