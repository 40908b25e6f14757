"""Images as PNG files inside a record."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from gradwarden.core.errors import BadInput, MissingExtra

if TYPE_CHECKING:
    from torch import Tensor


def png(image: Tensor) -> str:
    """image [H, W], [1, H, W] (grey) or [3, H, W] (RGB) in [0, 1] -> base64 of a PNG file."""
    try:
        from PIL import Image
    except ImportError as why:
        raise MissingExtra("pillow", "tasks") from why
    pixels = image if image.ndim == 3 else image[None]
    if pixels.ndim != 3 or len(pixels) not in (1, 3):
        raise BadInput(f"an image is [H, W], [1, H, W] or [3, H, W], got {list(image.shape)}")
    values = (pixels.clamp(0, 1) * 255).round().byte().cpu()
    file = io.BytesIO()
    if len(values) == 1:
        Image.fromarray(values[0].numpy(), mode="L").save(file, format="PNG")
    else:
        Image.fromarray(values.permute(1, 2, 0).contiguous().numpy()).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()
