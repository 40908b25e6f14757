"""Rows [N, 9], whole numbers -> logits [N, 2]."""

import torch
from torch import Tensor, nn


class Stage(nn.Module):
    """x -> [N, 2]."""

    a: Tensor
    b: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("a", torch.zeros(750, 9))
        self.register_buffer("b", torch.zeros(750, dtype=torch.int64))

    def mean(self, x: Tensor) -> Tensor:
        """[N, 2] float64."""
        rows = x.detach().round()[:, None]
        far = (rows - self.a.to(x.dtype)).square().sum(2).double()
        far += 1e-6 * torch.arange(len(self.a))  # the first of equals
        chosen = self.b[far.topk(5, 1, largest=False).indices]
        ones = chosen.double().mean(1)
        return torch.stack([1 - ones, ones], 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.mean(x).clamp(min=1e-6).log().to(x.dtype)


def build() -> nn.Module:
    return nn.Sequential(Stage())
