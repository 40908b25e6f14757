"""Signal over noise, against the closed form of a linear model with Gaussian weights."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from gradwarden.audit.case import Case
from gradwarden.audit.noise_ratio import signal_to_noise
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

FEATURES = 50


class Noisy(nn.Module):
    """Two classes; the margin's gradient is 1 + sigma times a normal number in every feature."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor) -> Tensor:
        weights = 1 + self.sigma * torch.randn_like(x)
        z = (x * weights).sum(1)
        return torch.stack([torch.zeros_like(z), z], 1)


def case_of(model: nn.Module) -> Case:
    x = torch.rand(200, FEATURES, generator=torch.Generator().manual_seed(0))
    y = torch.ones(200, dtype=torch.int64)
    return Case(model=model, x=x, y=y, threat=Threat(ball=Linf(0.1)))


@pytest.mark.parametrize("sigma", [0.5, 2.0, 5.0])
def test_the_closed_form(sigma: float) -> None:
    ratio = signal_to_noise(case_of(Noisy(sigma)))
    assert ratio == pytest.approx(1 / sigma**2, rel=0.25)


def test_noise_alone_is_no_signal() -> None:
    """The mean of 20 draws would have 1/20 of the noise for a signal."""

    class Lost(Noisy):
        def forward(self, x: Tensor) -> Tensor:
            z = (x * torch.randn_like(x)).sum(1)
            return torch.stack([torch.zeros_like(z), z], 1)

    assert signal_to_noise(case_of(Lost(1.0))) < 0.01


def test_without_noise_or_gradient() -> None:
    assert signal_to_noise(case_of(Noisy(0.0))) == math.inf

    class Cut(Noisy):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.detach())

    assert math.isnan(signal_to_noise(case_of(Cut(1.0))))
