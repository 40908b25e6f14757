"""Series [N, 6, 100] in [0, 1] -> logits [N, 7]."""

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.zoo.plain import parts


class Stage(nn.Module):
    """x -> [N, 6, 100]."""

    def forward(self, x: Tensor) -> Tensor:
        a = x.detach().cpu().numpy()
        a = np.concatenate([a[..., :1], a, a[..., -1:]], axis=-1)
        a = (a[..., :-2] + a[..., 1:-1] + a[..., 2:]) / 3
        return torch.from_numpy(a).to(x.device, x.dtype)


def build() -> nn.Module:
    return nn.Sequential(Stage(), parts.series())
