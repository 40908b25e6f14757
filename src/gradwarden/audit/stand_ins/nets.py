"""Small nets by the shapes that they map between."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

WIDTH = 32
MOST = 2**20  # weights of a linear map between all places
CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}


def net_for(given: Sequence[int], out: Sequence[int]) -> nn.Module | None:
    """A net [N, *given] -> [N, *out], or None where there is none for these shapes.

    Convolutions between grids of which one is finer by whole factors, else a perceptron, behind
    convolutions where the input is a grid.
    """
    grid = len(given) - 1
    if grid == len(out) - 1 and grid in CONVOLUTIONS:
        factors = _factors(given[1:], out[1:])
        if factors is not None:
            return Grid(given[0], out[0], *factors)
    if grid in CONVOLUTIONS:
        return Flattened(given, out)
    return Vector(given, out) if grid == 0 else None


def whole_net_for(given: Sequence[int], out: Sequence[int]) -> nn.Module | None:
    """A perceptron that sees all places at once; None where it would hold too many weights."""
    return Vector(given, out) if math.prod(given) * math.prod(out) <= MOST else None


class Grid(nn.Module):
    """A linear skip path beside three convolutions; a finer grid is folded into channels."""

    def __init__(self, given: int, out: int, down: Sequence[int], up: Sequence[int]) -> None:
        super().__init__()
        conv = CONVOLUTIONS[len(down)]
        self.down, self.up = tuple(down), tuple(up)
        first, last = given * math.prod(down), out * math.prod(up)
        self.skip = conv(first, last, 1)
        self.body = nn.Sequential(
            conv(first, WIDTH, 3, padding=1),
            nn.SiLU(),
            conv(WIDTH, WIDTH, 1),
            nn.SiLU(),
            conv(WIDTH, last, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, ...] -> [N, C', ...]."""
        folded = fold(x, self.down)
        return unfold(self.skip(folded) + self.body(folded), self.up)


class Flattened(nn.Module):
    """Two strided convolutions, then a perceptron; `out` is any shape."""

    def __init__(self, given: Sequence[int], out: Sequence[int]) -> None:
        super().__init__()
        conv = CONVOLUTIONS[len(given) - 1]
        self.out = tuple(out)
        size = math.prod(-(-side // 4) for side in given[1:])  # halved twice, rounded up
        self.body = nn.Sequential(
            conv(given[0], WIDTH // 2, 3, padding=1, stride=2),
            nn.SiLU(),
            conv(WIDTH // 2, WIDTH, 3, padding=1, stride=2),
            nn.SiLU(),
            nn.Flatten(),
            nn.Linear(WIDTH * size, 2 * WIDTH),
            nn.SiLU(),
            nn.Linear(2 * WIDTH, math.prod(out)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, C, ...] -> [N, *out]."""
        told: Tensor = self.body(x)
        return told.view(len(x), *self.out)


class Vector(nn.Module):
    """A linear skip path beside a perceptron."""

    def __init__(self, given: Sequence[int], out: Sequence[int]) -> None:
        super().__init__()
        self.out, size = tuple(out), math.prod(given)
        self.skip = nn.Linear(size, math.prod(out))
        self.body = nn.Sequential(
            nn.Linear(size, 2 * WIDTH),
            nn.SiLU(),
            nn.Linear(2 * WIDTH, 2 * WIDTH),
            nn.SiLU(),
            nn.Linear(2 * WIDTH, math.prod(out)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """x [N, *given] -> [N, *out]."""
        flat = x.flatten(1)
        told: Tensor = self.skip(flat) + self.body(flat)
        return told.view(len(x), *self.out)


class Scaled(nn.Module):
    """`net` between standardised inputs and outputs; further arguments are left aside."""

    def __init__(self, net: nn.Module, given: Tensor, out: Tensor, label: str) -> None:
        super().__init__()
        self.net, self.label = net.to(given), label
        for name, values in (("given", given), ("out", out)):
            self.register_buffer(f"{name}_mean", values.mean(0))
            spread = values.std().expand_as(values[0])  # one for all: a still element stays small
            self.register_buffer(f"{name}_spread", spread.clamp(min=1e-6).clone())

    def standard(self, out: Tensor) -> Tensor:
        """Outputs of the module [N, ...] as the net shall return them."""
        return (out - self.get_buffer("out_mean")) / self.get_buffer("out_spread")

    def told(self, given: Tensor) -> Tensor:
        """What the net returns, standardised."""
        centred = given - self.get_buffer("given_mean")
        told: Tensor = self.net(centred / self.get_buffer("given_spread"))
        return told

    def forward(self, given: Tensor, *rest: object) -> Tensor:
        del rest
        return self.told(given) * self.get_buffer("out_spread") + self.get_buffer("out_mean")

    def __repr__(self) -> str:
        return self.label


def fold(x: Tensor, factors: Sequence[int]) -> Tensor:
    """[N, C, H r, W s] -> [N, C r s, H, W], and the same for one or more sides."""
    n, channels, *sides = x.shape
    split = [part for side, f in zip(sides, factors, strict=True) for part in (side // f, f)]
    inner = [3 + 2 * i for i in range(len(sides))]
    outer = [2 + 2 * i for i in range(len(sides))]
    parts = x.reshape(n, channels, *split).permute(0, 1, *inner, *outer)
    return parts.reshape(n, -1, *(side // f for side, f in zip(sides, factors, strict=True)))


def unfold(x: Tensor, factors: Sequence[int]) -> Tensor:
    """The way back from `fold`."""
    n, channels, *sides = x.shape
    d = len(sides)
    parts = x.reshape(n, channels // math.prod(factors), *factors, *sides)
    order = [dim for i in range(d) for dim in (2 + d + i, 2 + i)]
    whole = (side * f for side, f in zip(sides, factors, strict=True))
    return parts.permute(0, 1, *order).reshape(n, -1, *whole)


def _factors(
    given: Sequence[int], out: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """How much coarser, and how much finer, the output is on each side."""
    pairs = list(zip(given, out, strict=True))
    if any(max(pair) % min(pair) for pair in pairs):
        return None
    down = tuple(max(1, one // two) for one, two in pairs)
    return down, tuple(max(1, two // one) for one, two in pairs)


def descend(
    net: Scaled, given: Tensor, out: Tensor, *, steps: int, batch: int, rate: float
) -> None:
    """Fits `net` to out [M, ...] with Adam at a falling rate; draws from the global generator."""
    optimizer = torch.optim.Adam(net.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    target = net.standard(out)
    with torch.enable_grad():
        for _ in range(steps):
            rows = torch.randint(len(given), (batch,)).to(given.device)
            optimizer.zero_grad()
            loss = (net.told(given[rows]) - target[rows]).square().mean()
            loss.backward()
            optimizer.step()
            schedule.step()
    net.requires_grad_(False)
