"""Probabilities whose softmax has no gradient left, attacked through it."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.bpda import BPDA
from gradwarden.audit.stand_ins.unsquashed import Unsquashed
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.3))
ATTACK = APGD(loss="margin", steps=10, start="clean")


class Functional(nn.Module):
    """Sure of itself up to a probability of exactly 1."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.body = nn.Linear(4, 2)
        self.body.weight.data = 100 * torch.tensor([[1.0, 1, 1, 1], [-1, -1, -1, -1]])
        self.body.bias.data = torch.tensor([-200.0, 200.0])

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.body(x)
        if self.how == "softmax":
            return z.softmax(1)
        if self.how == "function":
            return nn.functional.softmax(z, dim=1)
        return torch.softmax(z, 1) * 1.0  # not what the softmax returned


def data() -> tuple[Tensor, Tensor]:
    x = 0.6 + 0.2 * torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    return x, torch.zeros(8, dtype=torch.int64)


@pytest.mark.parametrize("how", ["softmax", "function"])
def test_the_gradient_goes_past_the_last_softmax(how: str) -> None:
    model, (x, y) = Functional(how).eval(), data()
    assert not ATTACK.run(model, x, y, THREAT).success.any()
    attack = BPDA(attack=ATTACK, patches=(Unsquashed(""),))
    assert attack.run(model, x, y, THREAT).success.all()
    with torch.no_grad():
        true = model(x)
    with Unsquashed("").applied(model):
        assert torch.equal(model(x.clone().requires_grad_()), true)
    assert not model._forward_hooks
    assert not model._forward_pre_hooks


def test_a_module_is_patched_by_its_path() -> None:
    net, (x, y) = Functional("softmax").body, data()
    model = nn.Sequential(net, nn.Softmax(1)).eval()
    attack = BPDA(attack=ATTACK, patches=(Unsquashed("1"),))
    assert attack.run(model, x, y, THREAT).success.all()


def test_what_is_no_softmax_of_the_output_is_left_alone() -> None:
    model, (x, y) = Functional("scaled").eval(), data()
    attack = BPDA(attack=ATTACK, patches=(Unsquashed(""),))
    found, plain = (a.run(model, x, y, THREAT) for a in (attack, ATTACK))
    assert torch.equal(found.x_adv, plain.x_adv)


def test_no_mode_is_left_where_the_model_raises() -> None:
    class Raises(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise ZeroDivisionError

    model = Raises()
    with Unsquashed("").applied(model), pytest.raises(ZeroDivisionError):
        model(torch.ones(1, 2))
    assert torch.ones(1, 2).softmax(1).sum() == 1
    assert not model._forward_hooks
