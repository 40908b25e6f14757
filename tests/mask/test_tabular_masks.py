"""Masks for tables: bins, codes and trees; and what they do to those who follow gradients."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gradwarden import mask
from gradwarden.attack.bpda import BPDA
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Strongest, Untargeted
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))
PGD20 = PGD(steps=20, step_size=0.2)


@cache
def table() -> tuple[Tensor, Tensor]:
    """569 tumours, 30 features scaled to [0, 1], 2 classes."""
    data = load_breast_cancer()
    x = torch.from_numpy(data.data).float()
    x = (x - x.amin(0)) / (x.amax(0) - x.amin(0))
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    return x[order], torch.from_numpy(data.target).long()[order]


def learnt(model: nn.Module, x: Tensor, y: Tensor, steps: int = 300) -> nn.Module:
    optimizer = torch.optim.Adam(model.parameters(), 0.01)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optimizer.step()
    return model.eval()


def net(features: int, classes: int = 2) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(features, 32), nn.ReLU(), nn.Linear(32, classes))


def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    with torch.no_grad():
        return float((model(x).argmax(1) == y).double().mean())


def after(model: nn.Module, attack: Attack, seen: nn.Module | None = None) -> float:
    x, y = table()
    threat = THREAT  # on another model no success counts: it goes on to the strongest point
    if seen is not None:
        threat = Threat(ball=THREAT.ball, goal=Strongest(Untargeted()))
    found = attack.run(model if seen is None else seen, x[:150], y[:150], threat, seed=0)
    return accuracy(model, found.x_adv, y[:150])


@pytest.mark.parametrize("bins", [2, 4, 7])
def test_ordinal_bins_are_numpys_quantiles(bins: int) -> None:
    x, y = table()
    model = mask.BinnedFeatures(bins=bins).fit(nn.Identity(), [(x[:300], y[:300]), (x[300:], y)])
    out = model(x)
    for feature in range(30):
        column = x[:, feature].double().numpy()
        edges = np.quantile(column, np.arange(1, bins) / bins)
        number = np.searchsorted(edges, column, side="right")
        clear = np.abs(column[:, None] - edges).min(1) > 1e-6  # an edge itself rounds either way
        assert np.allclose(out[:, feature].numpy()[clear], number[clear] / (bins - 1))


def test_one_hot_bins_say_the_same() -> None:
    x, y = table()
    ordinal = mask.BinnedFeatures(bins=5).fit(nn.Identity(), [(x, y)])(x)
    one_hot = mask.BinnedFeatures(bins=5, encode="one-hot").fit(nn.Identity(), [(x, y)])(x)
    rows = one_hot.view(len(x), 30, 5)
    assert (rows.sum(-1) == 1).all()
    torch.testing.assert_close(rows.argmax(-1) / 4, ordinal)


def test_a_constant_feature_has_one_bin_and_a_finite_surrogate() -> None:
    x = torch.cat([torch.full((20, 1), 0.5), torch.rand(20, 1)], 1)
    model = mask.BinnedFeatures(bins=4).fit(nn.Identity(), [(x, torch.zeros(20))])
    assert len(model(x)[:, 0].unique()) == 1
    (patch,) = mask.surrogates(model)
    assert patch.module is not None
    x.requires_grad_()
    patch.module(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("encode", ["ordinal", "one-hot"])
def test_bins_stop_followers_and_ramps_undo_them(encode: str) -> None:
    x, y = table()
    bins = mask.BinnedFeatures(bins=8, encode=encode)
    model = bins.fit(net(30 if encode == "ordinal" else 240), [(x[150:], y[150:])])
    learnt(model, x[150:], y[150:])
    assert accuracy(model, x[:150], y[:150]) >= 0.9
    assert after(model, PGD20) >= 0.8
    assert after(model, Noise(draws=5)) >= 0.65
    assert after(model, BPDA(attack=PGD20, patches=mask.surrogates(model))) <= 0.4


def test_other_features_than_the_fitted_are_refused() -> None:
    model = mask.BinnedFeatures().fit(nn.Identity(), [(torch.rand(9, 3), torch.zeros(9))])
    with pytest.raises(BadInput, match=r"fitted to \[N, 3\]"):
        model(torch.rand(2, 4))
    with pytest.raises(BadInput, match="needs x"):
        mask.BinnedFeatures().fit(nn.Identity(), [(torch.rand(9, 3, 2), torch.zeros(9))])


CODES = mask.EmbeddedCategories(columns=(2, 0), counts=(3, 5), dim=2)


def test_codes_are_looked_up_and_other_columns_come_first() -> None:
    model = CODES.defend(nn.Identity())
    third, first = model.parameters()
    out = model(torch.tensor([[4.0, 0.7, 1.0], [-3.0, 0.2, 9.0]]))
    wanted = torch.stack(
        [
            torch.cat([torch.tensor([0.7]), third[1], first[4]]),
            torch.cat([torch.tensor([0.2]), third[2], first[0]]),
        ]
    )
    torch.testing.assert_close(out, wanted)
    assert (len(third), len(first)) == (3, 5)


def test_between_codes_the_surrogate_is_a_line() -> None:
    model = CODES.defend(nn.Identity())
    (patch,) = mask.surrogates(model)
    assert patch.module is not None
    x = torch.tensor([[1.0, 0.0, 0.0], [2.0, 0.0, 1.0]])
    torch.testing.assert_close(patch.module(x), model(x))
    torch.testing.assert_close(
        patch.module(x.mean(0, keepdim=True)), model(x).mean(0, keepdim=True)
    )
    last = torch.tensor([[4.0, 0.0, 2.0]])
    torch.testing.assert_close(patch.module(last), model(last))


def test_categories_have_no_gradient_until_the_line_gives_one() -> None:
    torch.manual_seed(0)
    x = torch.randint(0, 6, (300, 4)).float()
    y = (x.sum(1) > 10).long()
    codes = mask.EmbeddedCategories(columns=(0, 1, 2, 3), counts=(6,) * 4)
    model = learnt(codes.defend(net(16)), x, y)
    threat = Threat(ball=Linf(1.0), box=(0.0, 5.0))
    assert accuracy(model, x, y) >= 0.95
    own = PGD20.run(model, x, y, threat, seed=0).x_adv
    attack = BPDA(attack=PGD20, patches=mask.surrogates(model))
    known = attack.run(model, x, y, threat, seed=0).x_adv
    noise = Noise(draws=1).run(model, x, y, threat, seed=0).x_adv
    assert accuracy(model, own, y) >= accuracy(model, noise, y) - 0.05
    assert accuracy(model, known, y) <= accuracy(model, own, y) - 0.3


@pytest.mark.parametrize(
    "trees",
    [RandomForestClassifier(20, random_state=0), HistGradientBoostingClassifier(max_iter=20)],
    ids=["forest", "boosting"],
)
def test_trees_stop_followers_and_a_net_taught_by_them_does_not(trees: Any) -> None:
    x, y = table()
    trees.fit(x[150:].numpy(), y[150:].numpy())
    model = mask.TreeEnsemble().defend(trees)
    shares = torch.from_numpy(trees.predict_proba(x.numpy())).float()
    torch.testing.assert_close(model(x).exp(), shares.clamp(min=1e-6))
    assert accuracy(model, x[:150], y[:150]) >= 0.92
    assert after(model, PGD20) >= after(model, Noise(draws=5)) - 0.05
    torch.manual_seed(0)
    near = (x[150:].repeat(4, 1) + 0.1 * torch.randn(4 * len(x[150:]), 30)).clamp(0, 1)
    student = learnt(net(30), near, model(near).argmax(1))
    assert after(model, PGD20, student) <= 0.65


def test_what_is_not_fitted_or_has_other_classes_is_refused() -> None:
    with pytest.raises(BadInput, match="must be fitted"):
        mask.TreeEnsemble().defend(RandomForestClassifier())
    odd = RandomForestClassifier(2).fit(np.zeros((4, 1)), [1, 2, 1, 2])
    with pytest.raises(BadInput, match="relabel y"):
        mask.TreeEnsemble().defend(odd)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (mask.BinnedFeatures, {"bins": 1}),
        (mask.BinnedFeatures, {"encode": "hash"}),
        (mask.EmbeddedCategories, {"columns": (), "counts": ()}),
        (mask.EmbeddedCategories, {"columns": (1, 1), "counts": (2, 2)}),
        (mask.EmbeddedCategories, {"columns": (1,), "counts": (2, 3)}),
        (mask.EmbeddedCategories, {"columns": (1,), "counts": (1,)}),
        (mask.EmbeddedCategories, {"columns": (1,), "counts": (2,), "dim": 0}),
        (mask.TreeEnsemble, {"floor": 0.7}),
    ],
)
def test_bad_options(kind: type[Any], options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="must"):
        kind(**options)
