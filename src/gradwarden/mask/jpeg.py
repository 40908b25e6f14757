"""Images are compressed and decompressed by a real JPEG codec before the model sees them.

Source: Dziugaite et al. 2016, arXiv:1608.00853; Guo et al. 2018, arXiv:1711.00117, sec. 3.
Differs: quality 50 by default (the papers use 75): the quality belongs into every report.
"""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput, MissingExtra
from gradwarden.mask.defended import Defended


@dataclass(frozen=True, kw_only=True)
class JPEG:
    """Pillow's codec at `quality`, on images [N, 1 or 3, H, W] with values in [0, 1].

    Claims: compression removes what the eye cannot see, adversarial noise included, and a codec
    has no gradient to follow.
    Breaks: BPDA with the identity, for the output is close to the input.
    Cost: about 0.1 ms a small image, on the CPU; a few points of accuracy at low quality.
    """

    quality: int = 50

    def __post_init__(self) -> None:
        if not 1 <= self.quality <= 95:
            raise BadInput(f"quality must be in [1, 95], got {self.quality}")

    def defend(self, model: nn.Module) -> Defended:
        """The model behind the codec; autograd finds no path through it."""
        return Defended(Codec(self), model)


class Codec(nn.Module):
    """Images [N, 1 or 3, H, W] in [0, 1] -> what is left of them after JPEG, at 256 levels."""

    def __init__(self, options: JPEG) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] not in (1, 3):
            raise BadInput(f"JPEG needs images [N, 1 or 3, H, W], got {tuple(x.shape)}")
        if not len(x):
            return x.detach().clone()
        levels = (x.detach().clamp(0.0, 1.0) * 255).round().to("cpu", torch.uint8)
        pixels = levels.permute(0, 2, 3, 1).numpy()
        coded = np.empty_like(pixels)
        for row, image in enumerate(pixels):
            coded[row] = _through_codec(image, self.options.quality)
        return torch.from_numpy(coded).permute(0, 3, 1, 2).to(x.device, x.dtype) / 255

    def surrogate(self) -> nn.Module:
        """The identity: compression keeps what the image shows."""
        return nn.Identity()

    def extra_repr(self) -> str:
        return repr(self.options)


def _through_codec(image: np.ndarray, quality: int) -> np.ndarray:
    """uint8 [H, W, 1 or 3] -> the same, compressed and decompressed."""
    try:
        from PIL import Image
    except ImportError as why:
        raise MissingExtra("pillow", "tasks") from why
    file = io.BytesIO()
    Image.fromarray(image.squeeze(2) if image.shape[2] == 1 else image).save(
        file, "JPEG", quality=quality
    )
    return np.asarray(Image.open(file, formats=("JPEG",))).reshape(image.shape)
