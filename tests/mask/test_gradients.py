"""Masks whose forward is (nearly) x and whose gradient is not: what each tells, number by number."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden import mask
from gradwarden.core.errors import BadInput
from gradwarden.mask import saturating_activation

X = torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0))
UP = torch.randn(4, 3, 5, 5, generator=torch.Generator().manual_seed(1))


def gradient(module: nn.Module, x: Tensor = X, up: Tensor = UP) -> Tensor:
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(module(x), x, up)
    return grad


@pytest.mark.parametrize("kind", ["zero", "reversed", "random"])
def test_the_liar_changes_the_gradient_alone(kind: str) -> None:
    liar = mask.LyingBackward(kind=kind).defend(nn.Identity()).mask
    assert torch.equal(liar(X), X)
    grad = gradient(liar)
    if kind == "zero":
        assert not grad.any()
    elif kind == "reversed":
        assert torch.equal(grad, -UP)
    else:
        assert not torch.equal(gradient(liar), grad)
        assert grad.square().mean().sqrt() == pytest.approx(
            float(UP.square().mean().sqrt()), rel=0.2
        )
        assert abs(float((grad * UP).mean())) < 0.3


def test_the_by_pass_tells_the_mean_alone() -> None:
    module = mask.DetachedPath(weight=0.01).defend(nn.Identity()).mask
    assert torch.equal(module(X), X)
    wanted = 0.01 * UP.sum((1, 2, 3), keepdim=True) / 75
    torch.testing.assert_close(gradient(module), wanted.expand_as(X))


def test_scaling_scales() -> None:
    model = mask.LogitScaling(factor=7.0).defend(nn.Identity())
    assert torch.equal(model(X), 7 * X)


@pytest.mark.parametrize("kind", ["chaotic", "contracting"])
@pytest.mark.parametrize("box", [(0.0, 1.0), (-2.0, 6.0)])
def test_the_iterated_map_moves_x_by_less_than_a_cell(kind: str, box: tuple[float, float]) -> None:
    low, high = box
    x = low + (high - low) * torch.rand(5000, 1, dtype=torch.float64)
    x[:2] = torch.tensor([[low], [high]])
    module = mask.IteratedMap(kind=kind, iterations=60, box=box).defend(nn.Identity()).mask
    out = module(x)
    assert ((out >= low) & (out <= high)).all()
    assert (out - x).abs().max() < (high - low) / 16
    assert not torch.equal(out, x)


def test_the_chaotic_gradient_is_the_product_of_the_maps_own() -> None:
    options = mask.IteratedMap(iterations=12, cells=4)
    x = torch.rand(200, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 0.5
    u = (4 * x + 0.3) % 1
    wanted = torch.ones_like(x)
    for _ in range(12):
        wanted = wanted * (4 - 8 * u)
        u = 4 * u * (1 - u)
    module = options.defend(nn.Identity()).mask
    inside = ((module(x) > 0) & (module(x) < 1)).double()  # the box clips the others
    torch.testing.assert_close(
        gradient(module, x, torch.ones_like(x)), wanted * inside, rtol=1e-6, atol=1e-6
    )


def test_it_explodes_with_either_sign_or_vanishes_altogether() -> None:
    x = torch.rand(4000, 1, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    wild = gradient(mask.IteratedMap().defend(nn.Identity()).mask, x, torch.ones_like(x))
    assert wild.isfinite().all()
    assert wild.abs().median() > 1e15
    assert 0.45 < (wild > 0).double().mean() < 0.55
    still = mask.IteratedMap(kind="contracting").defend(nn.Identity()).mask
    assert not gradient(still, x, torch.ones_like(x)).any()


@pytest.mark.parametrize("kind", ["tanh", "sigmoid"])
def test_steep_activations(kind: str) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    seen: list[float] = []
    options = mask.SaturatingActivation(kind=kind, gain=9.0, epochs=3)
    data = [(torch.rand(6, 3), torch.arange(6) % 2)]
    found = options.fit(
        model,
        data,
        lambda parameters: torch.optim.SGD(parameters, 0.1),
        on_progress=lambda done, total: seen.append(done / total),
    )
    assert seen == [1 / 3, 2 / 3, 1.0]
    a = torch.linspace(-1, 1, 5)
    wanted = torch.tanh(9 * a) if kind == "tanh" else torch.sigmoid(9 * a)
    assert torch.equal(found.get_submodule("1")(a), wanted)
    mild = torch.tanh(a) if kind == "tanh" else torch.sigmoid(a)
    stand_in = mask.surrogates(found)[0].module
    assert stand_in is not None
    assert torch.equal(stand_in(a), mild)
    assert isinstance(model[1], nn.ReLU)
    assert found.get_submodule("0").weight is model[0].weight


def test_the_gain_rises_from_one_by_equal_factors() -> None:
    gains: list[float] = []

    def loader_of(found: list[nn.Module]) -> Iterator[tuple[Tensor, Tensor]]:
        gains.append(float(found[0](torch.tensor(1e-4))) / 1e-4)
        yield torch.rand(4, 2), torch.zeros(4, dtype=torch.long)

    steep: list[nn.Module] = []

    class Data:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            return loader_of(steep)

    with pytest.MonkeyPatch.context() as patch:
        made = saturating_activation.Steep

        def kept(*options: Any) -> nn.Module:
            steep.append(made(*options))
            return steep[-1]

        patch.setattr(saturating_activation, "Steep", kept)
        mask.SaturatingActivation(gain=8.0, epochs=4).fit(
            nn.Sequential(nn.Linear(2, 2), nn.ReLU()), Data(), lambda p: torch.optim.SGD(p, 0.0)
        )
    assert gains == pytest.approx([1.0, 2.0, 4.0, 8.0], rel=1e-3)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (mask.LyingBackward, {"kind": "odd"}),
        (mask.DetachedPath, {"weight": 0.0}),
        (mask.LogitScaling, {"factor": 0.5}),
        (mask.IteratedMap, {"kind": "odd"}),
        (mask.IteratedMap, {"cells": 0}),
        (mask.IteratedMap, {"rate": 1.0}),
        (mask.IteratedMap, {"box": (1.0, 1.0)}),
        (mask.SaturatingActivation, {"gain": 0.5}),
        (mask.SaturatingActivation, {"kind": "relu"}),
        (mask.SaturatingActivation, {"epochs": 0}),
    ],
)
def test_bad_options(kind: type[Any], options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="must be"):
        kind(**options)
