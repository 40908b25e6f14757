"""Pictures, read back by Pillow."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from gradwarden.core.errors import BadInput
from gradwarden.core.pictures import png


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 5, 7), (5, 7)])
def test_pillow_reads_the_same_pixels(shape: tuple[int, ...]) -> None:
    image = torch.rand(shape, generator=torch.Generator().manual_seed(0))
    file = Image.open(io.BytesIO(base64.b64decode(png(image))))
    assert file.size == (7, 5)
    expected = (image * 255).round().to(torch.uint8).numpy()
    if shape[0] == 3:
        expected = expected.transpose(1, 2, 0)
    assert np.array_equal(np.asarray(file), expected.reshape(np.asarray(file).shape))


def test_what_is_no_image_is_told() -> None:
    with pytest.raises(BadInput, match=r"got \[2, 5, 7\]"):
        png(torch.zeros(2, 5, 7))
