"""Masks of steps and choices, against their definitions written out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import median_filter
from sklearn.cluster import KMeans
from torch import Tensor, nn

from gradwarden import mask
from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Surrogated
from gradwarden.mask.vector_quantisation import cut, k_means, put

RNG = torch.Generator().manual_seed(0)
X = torch.rand(4, 2, 6, 8, generator=RNG)


def stand_in(module: nn.Module) -> nn.Module:
    assert isinstance(module, Surrogated)
    return module.surrogate()


class Fixed(nn.Module):
    """The logits are x."""

    def forward(self, x: Tensor) -> Tensor:
        return x


def test_thermometer_switches_stand_channel_by_channel_lowest_first() -> None:
    encoder = mask.Thermometer(levels=3, box=(0.0, 4.0)).defend(Fixed()).mask
    x = torch.tensor([[0.0, 2.0], [1.0, 2.9], [3.0, 4.0]])  # thresholds 1, 2, 3
    assert encoder(x).tolist() == [[0, 0, 0, 1, 1, 0], [1, 0, 0, 1, 1, 0], [1, 1, 1, 1, 1, 1]]
    out = encoder(4 * X)
    assert out.shape == (4, 6, 6, 8)
    for channel in range(2):
        for level in range(3):
            assert torch.equal(
                out[:, 3 * channel + level], (4 * X[:, channel] >= level + 1).float()
            )
    soft = stand_in(encoder)(4 * X)
    assert torch.equal(soft.round()[(soft - 0.5).abs() > 1e-3], out[(soft - 0.5).abs() > 1e-3])


@pytest.mark.parametrize("size", [3, 5])
def test_median_is_that_of_scipy(size: int) -> None:
    out = mask.MedianFilter(size=size).defend(Fixed()).mask(X)
    wanted = median_filter(X.numpy(), (1, 1, size, size), mode="mirror")
    assert np.array_equal(out.numpy(), wanted)
    signal = mask.MedianFilter(size=size).defend(Fixed()).mask(X[:, :, 0])
    wanted = median_filter(X[:, :, 0].numpy(), (1, 1, size), mode="mirror")
    assert np.array_equal(signal.numpy(), wanted)


@pytest.mark.parametrize("shape", [(2, 8), (2, 1, 1, 8), (2, 1, 4, 4, 4)])
def test_median_refuses_what_has_no_windows(shape: tuple[int, ...]) -> None:
    with pytest.raises(BadInput, match="MedianFilter needs x"):
        mask.MedianFilter().defend(Fixed()).mask(torch.rand(shape))


@pytest.mark.parametrize(("scope", "values"), [("volume", 96), ("channel", 48)])
def test_the_largest_stay(scope: str, values: int) -> None:
    model = mask.KWTA(share=0.25, scope=scope).defend(nn.Sequential(nn.ReLU()))
    out = model(X)
    rows = X.flatten(1) if scope == "volume" else X.flatten(2).flatten(0, 1)
    kept = out.view(rows.shape)
    assert ((kept != 0).sum(1) == values // 4).all()
    for row, some in zip(rows, kept, strict=True):
        assert set(some[some != 0].tolist()) == set(row.sort().values[-values // 4 :].tolist())


def test_ties_keep_more_and_one_value_always_stays() -> None:
    model = mask.KWTA(share=0.25).defend(nn.Sequential(nn.ReLU()))
    assert model(torch.tensor([[3.0, 1.0, 3.0, 3.0]])).tolist() == [[3.0, 0.0, 3.0, 3.0]]
    assert model(torch.tensor([[1.0, 2.0]])).tolist() == [[0.0, 2.0]]


def test_a_channel_of_one_value_is_refused() -> None:
    model = mask.KWTA(scope="channel").defend(nn.Sequential(nn.ReLU()))
    with pytest.raises(BadInput, match="use another scope"):
        model(torch.rand(2, 3))


def test_mean_sparse_has_the_statistics_of_all_batches_and_flattens_around_the_mean() -> None:
    data = [(X[:1] * 3 + 100, torch.zeros(1)), (X[1:] + 100, torch.zeros(3))]  # uneven, far from 0
    model = mask.MeanSparse(threshold=0.7).fit(nn.Sequential(nn.Hardtanh(0, 1e3)), data)
    rows = torch.cat([x for x, _ in data]).double().transpose(0, 1).flatten(1)
    mean, deviation = rows.mean(1), rows.std(1, correction=0)
    (found,) = (m for m in model.modules() if hasattr(m, "deviation"))
    torch.testing.assert_close(found.mean, mean)
    torch.testing.assert_close(found.deviation, deviation)
    x = X + 100
    out = model(x)
    for c in range(2):
        near = (x[:, c] - mean[c]).abs() < 0.7 * deviation[c]
        assert 0.1 < near.float().mean() < 1.0
        assert torch.equal(out[:, c], torch.where(near, mean[c].float(), x[:, c]))


def test_mean_sparse_stands_before_each_activation() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2), nn.Tanh())
    found = mask.MeanSparse().fit(model, [(torch.rand(9, 3), torch.zeros(9))])
    assert [p.path for p in mask.surrogates(found)] == ["1.0", "3.0"]
    only = mask.MeanSparse(paths=("3",)).fit(model, [(torch.rand(9, 3), torch.zeros(9))])
    assert [p.path for p in mask.surrogates(only)] == ["3.0"]


@pytest.mark.parametrize("shape", [(3, 2, 6, 8), (3, 2, 6)])
def test_patches_are_cut_and_put_back(shape: tuple[int, ...]) -> None:
    x = torch.arange(float(np.prod(shape))).view(shape)
    patches = cut(x, 2)
    assert torch.equal(put(patches, shape, 2), x)
    first = x[0][:, :2, :2] if len(shape) == 4 else x[0][:, :2]
    assert torch.equal(patches[0, 0], first.flatten())


def test_every_patch_becomes_its_nearest_codeword() -> None:
    model = mask.VectorQuantisation(codes=5, patch=2).fit(Fixed(), [(X, torch.zeros(4))])
    words = {tuple(word) for word in model.get_buffer("mask.words").tolist()}
    found, given = cut(model(X), 2).flatten(0, 1), cut(X, 2).flatten(0, 1)
    for word, patch in zip(found, given, strict=True):
        assert tuple(word.tolist()) in words
        assert all((patch - torch.tensor(w)).norm() >= (patch - word).norm() - 1e-6 for w in words)


def test_k_means_is_as_good_as_scikit_learns() -> None:
    rng = torch.Generator().manual_seed(seed_of("k-means"))
    rows = torch.randn(600, 3, generator=rng) + 3 * torch.randint(3, (600, 1), generator=rng)
    ours = torch.cdist(rows, k_means(rows, 8, rng)).amin(1).square().sum()
    theirs = KMeans(8, n_init=3, random_state=0).fit(rows.numpy()).inertia_
    assert float(ours) <= 1.1 * theirs


def test_the_codebook_is_keyed_by_its_seed() -> None:
    def words(seed: int) -> Tensor:
        data = [(X, torch.zeros(4))]
        found = mask.VectorQuantisation(codes=5, seed=seed).fit(Fixed(), data)
        return found.get_buffer("mask.words")

    torch.manual_seed(1)
    first = words(0)
    torch.manual_seed(2)
    assert torch.equal(words(0), first)
    assert not torch.equal(words(1), first)


def test_too_few_patches_and_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(BadInput, match="as many distinct patches"):
        mask.VectorQuantisation(codes=9).fit(Fixed(), [(torch.zeros(4, 1, 4, 4), torch.zeros(4))])
    with pytest.raises(BadInput, match="sides that 2 divides"):
        mask.VectorQuantisation(codes=2).fit(Fixed(), [(X[..., :7], torch.zeros(4))])


def test_logits_are_rounded_to_the_step() -> None:
    model = mask.LogitRounding(step=0.25).defend(Fixed())
    assert model(torch.tensor([[0.1, 0.13, -0.4, 3.0]])).tolist() == [[0.0, 0.25, -0.5, 3.0]]


def test_the_majority_wins_and_ties_go_to_the_first_class() -> None:
    ballot = mask.HardVote().defend(Fixed()).mask
    votes = torch.tensor([[2, 1, 2], [0, 0, 1], [2, 1, 0]])
    logits = 5 * nn.functional.one_hot(votes, 3).float()
    assert ballot(logits).argmax(1).tolist() == [2, 0, 0]
    assert ballot(logits).sum(1).tolist() == [1, 1, 1]
    loud = torch.tensor([[[1.0, 0.0], [1.0, 0.0], [0.0, 100.0]]])  # a sure voter has one vote too
    assert ballot(loud).argmax(1).tolist() == [0]


def test_each_model_votes_on_each_shift() -> None:
    seen: list[Tensor] = []

    class Looking(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(x)
            return x.flatten(1)[:, :3]

    mask.HardVote(shift=2).defend(Looking(), Looking())(X)
    assert len(seen) == 2 * 5
    up = torch.zeros_like(X)
    up[:, :, :-2] = X[:, :, 2:]
    right = torch.zeros_like(X)
    right[..., 2:] = X[..., :-2]
    for wanted in (X, up, right):
        assert sum(torch.equal(view, wanted) for view in seen) == 2


def scribble(a: NDArray[np.floating]) -> NDArray[np.floating]:
    a[:] = a.round(1)
    return a[..., ::-1].astype(np.float64)


def test_numpy_gives_what_the_function_gives_and_does_not_touch_x() -> None:
    x = X.clone().requires_grad_()
    out = mask.NumpyRoundTrip(function=scribble).defend(Fixed())(x)
    assert torch.equal(x, X)
    assert out.dtype == X.dtype
    assert not out.requires_grad
    assert torch.equal(out, torch.from_numpy(X.numpy().round(1)[..., ::-1].copy()))
    assert repr(mask.NumpyRoundTrip(function=scribble)).endswith(
        "function=test_shattered.scribble)"
    )


def test_a_function_that_loses_rows_is_refused() -> None:
    with pytest.raises(BadInput, match="must return 4 rows"):
        mask.NumpyRoundTrip(function=lambda a: a[:2]).defend(Fixed())(X)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (mask.Thermometer, {"levels": 1}),
        (mask.Thermometer, {"box": (1.0, 0.0)}),
        (mask.MedianFilter, {"size": 4}),
        (mask.KWTA, {"share": 1.0}),
        (mask.KWTA, {"scope": "layer"}),
        (mask.MeanSparse, {"threshold": 0.0}),
        (mask.VectorQuantisation, {"codes": 1}),
        (mask.VectorQuantisation, {"patch": 0}),
        (mask.LogitRounding, {"step": 0.0}),
        (mask.HardVote, {"shift": -1}),
        (mask.NumpyRoundTrip, {"function": 3}),
    ],
)
def test_bad_options(kind: type[Any], options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="must"):
        kind(**options)
