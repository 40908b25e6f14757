"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """x -> [N, 1, 28, 28]."""

    def forward(self, x: Tensor) -> Tensor:
        levels = (x.detach().clamp(0.0, 1.0) * 255).round().to(torch.uint8)
        out = np.empty((len(x), 28, 28, 1), np.uint8)
        for row, image in enumerate(levels[:, 0].numpy()):
            file = BytesIO()
            Image.fromarray(image).save(file, "JPEG", quality=50)
            out[row, :, :, 0] = np.asarray(Image.open(file))
        return torch.from_numpy(out).permute(0, 3, 1, 2).to(x.dtype) / 255


def build() -> nn.Module:
    return nn.Sequential(Stage(), parts.images())
