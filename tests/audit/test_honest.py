"""Models that hide nothing, under attackers that are easily misread: none is called masked."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradwarden.audit.examine import examine
from gradwarden.audit.planner import adapt
from gradwarden.core.balls.l0 import L0
from gradwarden.core.balls.linf import Linf
from gradwarden.core.geometry import Ball
from gradwarden.core.threat import Threat


class Shaken(nn.Module):
    """Noise on the input of a linear model: the gradient of every draw is exact."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.sigma, self.body = sigma, nn.Linear(24, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.body(x + self.sigma * torch.randn_like(x))
        return out


def test_noise_before_an_exact_gradient_hides_nothing() -> None:
    model = Shaken(0.4).eval()
    x = torch.rand(80, 24, generator=torch.Generator().manual_seed(0))
    y = model.body(x).argmax(1)
    found = examine(model, x, y, Threat(ball=Linf(0.15)), budget="quick")
    assert found.verdict != "masked"


@pytest.mark.parametrize("ball", [L0(2), L0(4)])
def test_a_net_in_few_elements_hides_nothing(ball: Ball) -> None:
    """Plain PGD is weak there; a better search along the same gradient is no hidden gradient."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Linear(32, 4)).eval()
    x = torch.rand(120, 20, generator=torch.Generator().manual_seed(1))
    y = model(x).argmax(1)
    assert examine(model, x, y, Threat(ball=ball), budget="quick").verdict != "masked"


class Rounds(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return (x * 7).round() / 7


class Refuses(nn.Module):
    """Runs without a graph alone, and says so in its own way."""

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            raise LookupError("inference only")
        return x.clone()


def test_a_wall_behind_another_that_raises_is_no_error_of_the_audit() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(Rounds(), Refuses(), nn.Linear(6, 3)).eval()
    x = torch.rand(40, 6, generator=torch.Generator().manual_seed(2))
    y = model(x).argmax(1)
    found = examine(model, x, y, Threat(ball=Linf(0.2)), budget="quick")
    assert {f.module for f in found.findings} >= {"0", "1"}
    assert found.adaptive.value < found.naive.value


class Parent(nn.Module):
    """Its child draws with what the parent hands it aside."""

    class Child(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + self.scale * torch.randn_like(x)  # type: ignore[operator]

    def __init__(self) -> None:
        super().__init__()
        self.child, self.last = Parent.Child(), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        self.child.scale = torch.tensor(0.1)
        out: Tensor = self.last(self.child(x))
        del self.child.scale
        return out


def test_a_child_that_does_not_run_alone_is_no_error_of_the_audit() -> None:
    torch.manual_seed(0)
    model = Parent().eval()
    x = torch.rand(16, 6, generator=torch.Generator().manual_seed(3))
    y = torch.zeros(16, dtype=torch.int64)
    found = adapt(model, x, y, Threat(ball=Linf(0.2)))
    assert "stochastic" in {finding.check for finding in found.findings}
