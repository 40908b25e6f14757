"""Points that cross from one model to another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.apgd import APGD
from gradwarden.attack.pgd import PGD
from gradwarden.attack.transfer import Transfer
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.2))
WEIGHT = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])


def linear(weight: Tensor) -> nn.Linear:
    net = nn.Linear(2, 2, bias=False)
    net.weight.data = weight.clone()
    return net.eval()


def data() -> tuple[Tensor, Tensor]:
    x = torch.tensor([[0.6, 0.4], [0.5, 0.4], [0.9, 0.1], [0.4, 0.6]])
    return x, torch.tensor([0, 0, 0, 1])


class Walled(nn.Module):
    """The linear model behind a step that has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x @ WEIGHT.T


def test_points_of_an_open_twin_break_the_walled_model() -> None:
    x, y = data()
    attack = APGD(steps=10, loss="margin", start="clean")
    assert not attack.run(Walled().eval(), x, y, THREAT).success.any()
    found = Transfer(attack=attack, source=linear(WEIGHT), name="twin").run(
        Walled().eval(), x, y, THREAT
    )
    # The margin of x is 2 (x1 - x2); the ball moves it by 0.8: only the third is out of reach.
    assert found.success.tolist() == [True, True, False, True]
    assert THREAT.allows(found.x_adv, x).all()


def test_the_surest_point_is_taken_not_the_first() -> None:
    """The source falls at once; the target only at the ball's edge."""
    x, y = torch.tensor([[0.51, 0.49]]), torch.tensor([0])
    shifted = linear(WEIGHT)
    target = lambda z: shifted(z) + torch.tensor([0.7, 0.0])
    found = Transfer(
        attack=PGD(steps=10, step_size=0.5, loss="margin"), source=shifted, name="twin"
    ).run(target, x, y, THREAT)
    assert found.success.all()
    assert (found.x_adv - x).abs().amax() == pytest.approx(0.2, abs=1e-6)


def test_points_of_an_opposed_model_break_nothing() -> None:
    x, y = data()
    found = Transfer(attack=PGD(steps=5), source=linear(-WEIGHT), name="opposed").run(
        linear(WEIGHT), x, y, THREAT
    )
    assert not found.success.any()
    assert found.forwards.tolist() == [3, 3, 3, 3]  # x, and two points on the way
    assert not found.backwards.any()


def test_a_source_must_be_a_model() -> None:
    with pytest.raises(BadInput, match="source must be a model, got str"):
        Transfer(attack=PGD(), source="net", name="twin")  # type: ignore[arg-type]
