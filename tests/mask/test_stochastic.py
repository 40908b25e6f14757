"""Random masks: their means, their spread, and where their draws come from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden import mask
from gradwarden.core.errors import BadInput

X = torch.rand(3, 2, 10, 12, generator=torch.Generator().manual_seed(0))


def mean(module: nn.Module, x: Tensor, draws: int = 3000) -> Tensor:
    torch.manual_seed(0)
    return torch.stack([module(x) for _ in range(draws)]).mean(0)


def test_noise_has_mean_zero_and_the_given_deviation() -> None:
    torch.manual_seed(0)
    noisy = mask.InputNoise(std=0.2).defend(nn.Identity()).mask
    off = noisy(torch.zeros(200, 500))
    assert abs(float(off.mean())) < 0.005
    assert abs(float(off.std()) - 0.2) < 0.005


@pytest.mark.parametrize("draws", [0.5, 2.0])
def test_pruning_keeps_the_mean_and_survival_grows_with_the_share(draws: float) -> None:
    a = torch.tensor([[0.0, 0.1, -0.5, 1.0], [1.0, 1.0, 1.0, 1.0]])
    options = mask.StochasticActivationPruning(draws=draws, paths=("0",))
    pruner = options.defend(nn.Sequential(nn.Identity()))
    torch.testing.assert_close(mean(pruner, a), a, atol=0.06, rtol=0.06)
    torch.manual_seed(0)
    kept = torch.stack([pruner(a) != 0 for _ in range(3000)]).double().mean(0)
    share = a.abs() / a.abs().sum(1, keepdim=True)
    wanted = 1 - (1 - share.double()) ** (draws * 4)  # drawn 4 x draws times with replacement
    torch.testing.assert_close(kept, wanted, atol=0.03, rtol=0.0)
    assert torch.equal(pruner(torch.zeros(2, 4)), torch.zeros(2, 4))


def test_dropout_stays_on_in_eval_and_keeps_the_mean() -> None:
    model = nn.Sequential(nn.ReLU(), nn.Dropout(0.4), nn.Dropout2d(0.2)).eval()
    assert torch.equal(model(X), X)
    own = mask.InferenceDropout(p=None).defend(model).eval()
    assert [type(m).__name__ for m in own.children()] == [
        "ReLU",
        "StayingDropout",
        "StayingDropout",
    ]
    assert (own.get_submodule("1")(torch.ones(10_000)) == 0).float().mean() == pytest.approx(
        0.4, abs=0.02
    )
    torch.testing.assert_close(mean(own, X[:1, :1, :4, :4]), X[:1, :1, :4, :4], atol=0.1, rtol=0.1)
    added = mask.InferenceDropout(p=0.25).defend(nn.Sequential(nn.ReLU())).eval()
    assert (added(torch.ones(10_000)) == 0).float().mean() == pytest.approx(0.25, abs=0.02)


def test_dropout_that_is_not_there_cannot_stay_on() -> None:
    with pytest.raises(BadInput, match="no dropout layer"):
        mask.InferenceDropout(p=None).defend(nn.Sequential(nn.ReLU()))


def test_views_are_nearest_neighbour_shrinks_at_every_place() -> None:
    view = mask.RandomResizePad(smallest=0.8, fill=-1.0).defend(nn.Identity()).mask
    torch.manual_seed(0)
    sizes, corners = set(), set()
    one = X[:1]
    for _ in range(300):
        out = view(one)[0]
        inside = out[0] != -1.0
        rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
        top, height, left, width = int(rows[0]), len(rows), int(columns[0]), len(columns)
        wanted = nn.functional.interpolate(one, (height, width), mode="nearest")[0]
        assert torch.equal(out[:, top : top + height, left : left + width], wanted)
        assert inside.sum() == height * width
        sizes.add((height, width))
        corners.add((height, width, top, left))
    assert {h for h, _ in sizes} == {8, 9, 10}
    assert {w for _, w in sizes} == {10, 11, 12}
    assert {top for h, _, top, _ in corners if h == 8} == {0, 1, 2}
    assert {left for _, w, _, left in corners if w == 11} == {0, 1}


def test_each_sample_has_its_own_view_and_series_work_too() -> None:
    view = mask.RandomResizePad(smallest=0.6).defend(nn.Identity()).mask
    torch.manual_seed(0)
    out = view(X[:1].expand(8, -1, -1, -1))
    assert len({tuple(row.flatten().tolist()) for row in out}) > 2
    assert view(X[:, :, 0]).shape == (3, 2, 12)
    with pytest.raises(BadInput, match="RandomResizePad needs x"):
        view(torch.rand(2, 5))


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (mask.InputNoise, {"std": 0.0}),
        (mask.StochasticActivationPruning, {"draws": 0.0}),
        (mask.InferenceDropout, {"p": 1.0}),
        (mask.RandomResizePad, {"smallest": 0.0}),
    ],
)
def test_bad_options(kind: type[Any], options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="must be"):
        kind(**options)


def test_paths_and_own_layers_exclude_each_other() -> None:
    with pytest.raises(BadInput, match="paths needs p"):
        mask.InferenceDropout(p=None, paths=("0",))
