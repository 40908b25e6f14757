"""Smoothed gradients: the model's own values forward, a mean over keyed noise on the way back."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import BPDA, Surrogate
from gradwarden.attack.eot import EOT
from gradwarden.attack.pgd import PGD
from gradwarden.attack.smoothed import Averaged, Smoothed
from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Keyed, keyed
from gradwarden.core.threat import Threat


class Rippled(nn.Module):
    """A slope of 1 under ripples so short and steep that the gradient's sign is theirs."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        z = (x + 0.002 * torch.sin(2 * math.pi * 400 * x)).mean(1) - 0.55
        return torch.stack([torch.zeros_like(z), z], 1)


def data(n: int = 20) -> tuple[Tensor, Tensor, Threat]:
    x = torch.rand(n, 30, generator=torch.Generator().manual_seed(0)) * 0.1 + 0.4
    return x, torch.zeros(n, dtype=torch.long), Threat(ball=Linf(0.16))


def test_it_climbs_what_ripples_hide() -> None:
    x, y, threat = data()
    attack = PGD(steps=15)
    plain = attack.run(Rippled(), x, y, threat)
    found = Smoothed(attack=attack, sigma=0.01, draws=32).run(Rippled(), x, y, threat)
    assert not plain.success.any()
    assert found.success.all()


def test_values_are_the_models_own_and_the_gradient_is_the_mean() -> None:
    x, model, ids = data(5)[0], Rippled(), [7, 3, 9, 1, 4]
    smooth = keyed(Averaged(model, 0.01, 6, Draws(0, ids), ids), ids)
    leaf = x.clone().requires_grad_()
    with torch.enable_grad():
        logits = smooth(leaf)
    assert torch.equal(logits, model(x))
    (grad,) = torch.autograd.grad(logits[:, 1].sum(), leaf)
    noise = Draws(0, ids).normal(x, 6, 30) * 0.01
    slope = (1 + 0.002 * 800 * math.pi * torch.cos(800 * math.pi * (x[:, None] + noise))) / 30
    torch.testing.assert_close(grad, slope.mean(1), rtol=1e-3, atol=1e-4)


def test_rows_in_another_order_keep_their_draws() -> None:
    x, ids = data(5)[0], [7, 3, 9, 1, 4]
    grads = []
    for order in ([0, 1, 2, 3, 4], [3, 0, 4]):
        smooth = keyed(
            Averaged(Rippled(), 0.01, 6, Draws(0, ids), ids), [ids[row] for row in order]
        )
        leaf = x[order].requires_grad_()
        with torch.enable_grad():
            grads.append(torch.autograd.grad(smooth(leaf)[:, 1].sum(), leaf)[0])
    torch.testing.assert_close(grads[1], grads[0][[3, 0, 4]])


def test_on_a_plane_it_changes_nothing_and_every_pass_counts() -> None:
    calls: list[int] = []
    w = torch.randn(30, generator=torch.Generator().manual_seed(0))

    def model(x: Tensor) -> Tensor:
        calls.append(len(x))
        z = (x - 0.45) @ w
        return torch.stack([z, -z], 1)

    x, y, threat = data()
    plain = PGD(steps=4).run(model, x, y, threat)
    calls.clear()
    found = Smoothed(attack=PGD(steps=4), sigma=0.1, draws=3).run(model, x, y, threat)
    torch.testing.assert_close(found.x_adv, plain.x_adv)
    assert torch.equal(found.backwards, plain.backwards * 3)
    assert torch.equal(found.forwards, plain.forwards + 3 * plain.backwards)
    assert int(found.forwards.sum()) == sum(calls)


def test_without_a_path_one_draw_shows_it() -> None:
    x, y, threat = data(3)
    model = Rippled()
    attack = Smoothed(attack=PGD(steps=2), sigma=0.1, draws=8)
    found = attack.run(lambda z: model(z.detach()), x, y, threat)
    assert not found.backwards.any()
    assert (found.forwards == 1 + 2 * 2 + 1).all()
    assert model.calls == 6


def test_draws_are_a_samples_own() -> None:
    """Whatever samples leave the batch, and in whatever order they come."""
    x, y, threat = data()
    attack = Smoothed(attack=PGD(steps=6), sigma=0.01, draws=4)
    whole = attack.run(Rippled(), x, y, threat, ids=list(range(20)))
    order = torch.randperm(20, generator=torch.Generator().manual_seed(0))[:7]
    some = attack.run(Rippled(), x[order], y[order], threat, ids=order.tolist())
    torch.testing.assert_close(some.x_adv, whole.x_adv[order])
    assert not torch.equal(whole.x_adv[0] - x[0], whole.x_adv[1] - x[1])


def test_it_nests_with_the_other_wrappers() -> None:
    """Noise of the model, ripples and rounding: EOT, Smoothed and BPDA each undo one."""

    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x * 1000).round() / 1000

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.round, self.body = Rounded(), Rippled()
            self.eval()

        def forward(self, x: Tensor) -> Tensor:
            found: Tensor = self.body(self.round(x)) + 0.01 * torch.randn(len(x), 2)
            return found

    x, y, threat = data()
    torch.manual_seed(0)
    pgd = PGD(steps=15)
    both: list[Any] = [
        EOT(attack=Smoothed(attack=pgd, sigma=0.01, draws=32), draws=3),
        Smoothed(attack=EOT(attack=pgd, draws=3), sigma=0.01, draws=32),
    ]
    for attack in both:
        patched = BPDA(attack=attack, patches=(Surrogate("round"),))
        assert patched.run(Model(), x, y, threat).success.all()
        assert not attack.run(Model(), x, y, threat).success.any()


def test_a_model_that_draws_by_ids_is_told_from_others() -> None:
    model = Averaged(Rippled(), 0.1, 2, Draws(0, [0]), [0])
    assert isinstance(model, Keyed)
    assert not isinstance(Rippled(), Keyed)
    assert keyed(plain := Rippled(), [0]) is plain


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sigma": 0.0}, "sigma must be above 0, in units of x, got 0.0"),
        ({"sigma": 0.1, "draws": 0}, "draws must be at least 1, got 0"),
    ],
)
def test_bad_options_are_one_sentence(options: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        Smoothed(attack=PGD(), **options)
