"""Images [N, 1, 28, 28] in [0, 1] -> logits [N, 10]."""

import torch
from torch import Tensor, nn


def part() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(6, 12, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 7 * 7, 20),
        nn.ReLU(),
        nn.Linear(20, 10),
    )


class Net(nn.Module):
    """x -> [N, 10]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.ModuleList([part(), part(), part()])

    @torch.no_grad()
    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros(len(x), 10)
        for one in self.body:
            best = one(x).argmax(1, keepdim=True)
            total.scatter_add_(1, best, torch.ones(len(x), 1))
        return torch.eye(10, dtype=x.dtype)[total.argmax(1)]


def build() -> nn.Module:
    return Net()
