"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Net(nn.Module):
    """x -> [N, 10]."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.places = nn.Parameter(0.02 * torch.randn(1, 49, width))
        self.body = nn.ModuleList(
            [
                nn.Conv2d(1, width, 7, stride=4, padding=2),
                nn.LayerNorm(width),
                nn.Linear(width, 3 * width),
                nn.Linear(width, width),
                nn.LayerNorm(width),
                nn.Linear(width, 2 * width),
                nn.Linear(2 * width, width),
                nn.LayerNorm(width),
                nn.Linear(49 * width, 10),
            ]
        )

    def forward(self, x: Tensor) -> Tensor:
        patch, norm, into, out, norm2, up, down, last, head = self.body
        t = patch(x).flatten(2).transpose(1, 2) + self.places
        q, k, v = into(norm(t)).view(len(x), 49, 3, 2, -1).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(2, 3) * q.shape[-1] ** -0.5).softmax(-1)
        t = t + out((weights @ v).transpose(1, 2).flatten(2))
        t = t + down(F.gelu(up(norm2(t))))
        logits: Tensor = head(last(t).flatten(1))
        return logits


def build() -> nn.Module:
    return Net()
