"""Gradients that float32 has lost."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.double import Double
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.3))


class Saturated(nn.Module):
    """Sure of itself up to a loss that float32 cannot tell from 0."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 2)
        torch.manual_seed(0)
        self.body.weight.data = torch.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]])
        self.body.bias.data = torch.tensor([-2.0, 2.0])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = 120 * self.body(x)
        return out


def data() -> tuple[Tensor, Tensor]:
    x = torch.tensor([[0.7, 0.7, 0.7, 0.7], [0.65, 0.7, 0.75, 0.7]])
    return x, torch.tensor([0, 0])


def test_it_finds_what_the_same_attack_in_float32_does_not() -> None:
    x, y = data()
    model, attack = Saturated().eval(), APGD(steps=10, start="clean")
    assert not attack.run(model, x, y, THREAT).success.any()
    found = Double(attack=attack).run(model, x, y, THREAT)
    assert found.success.all()
    assert found.x_adv.dtype == torch.float32
    assert THREAT.allows(found.x_adv, x).all()
    assert (found.backwards > 0).all()
    assert next(model.parameters()).dtype == torch.float32


def test_success_is_that_of_the_model_itself() -> None:
    """In float64 the copy answers otherwise: its successes count for nothing."""

    class Torn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            sign = 1.0 if x.dtype == torch.float32 else -1.0
            return torch.stack([sign + 0 * x.sum(1), x.sum(1) * 0], 1)

    x, y = torch.rand(3, 2), torch.zeros(3, dtype=torch.int64)
    assert not Double(attack=PGD(steps=2)).run(Torn().eval(), x, y, THREAT).success.any()


def test_what_has_no_copy_in_float64_is_told() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x @ torch.ones(2, 2)

    x, y = torch.rand(3, 2), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(BadInput, match="does not run in float64"):
        Double(attack=PGD(steps=2)).run(Fixed().eval(), x, y, THREAT)
    with pytest.raises(BadInput, match=r"copies an nn\.Module, got function"):
        Double(attack=PGD(steps=2)).run(lambda z: z, x, y, THREAT)
