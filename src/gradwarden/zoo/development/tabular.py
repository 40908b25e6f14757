"""Models of tables whose gradient ends at a bin, a code or a tree; few features, so all is tried."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from gradwarden.core.protocols import Attack
from gradwarden.mask.binned_features import BinnedFeatures, Binning
from gradwarden.mask.defended import Defended
from gradwarden.mask.embedded_categories import EmbeddedCategories, Lookup
from gradwarden.mask.tree_ensemble import TreeEnsemble, Trees
from gradwarden.zoo.adaptive import Exhaustive
from gradwarden.zoo.definition import Entry, Samples
from gradwarden.zoo.development import threats
from gradwarden.zoo.development.attacks import through_surrogates
from gradwarden.zoo.plain.net_04 import DEPTH, PARTS, SIZE, Stage
from gradwarden.zoo.training import fit, plainly

BINS = BinnedFeatures(bins=16)
CODES = EmbeddedCategories(columns=tuple(range(9)), counts=(3,) * 7 + (2,) * 2, dim=3)


def middles(edges: Tensor) -> tuple[float, ...]:
    """A value between each two neighbours of `edges`."""
    return tuple((low + high) / 2 for low, high in pairwise(edges.unique().tolist()))


def train_bins(plain: nn.Module, train: Samples) -> nn.Module:
    """Edges at the quantiles, then the net behind them."""
    mask = BINS.fit(nn.Identity(), [train]).mask
    assert isinstance(mask, Binning)
    plain.get_buffer("0.at").copy_(mask.switches.edges)
    return fit(plain, train, epochs=15)


def binned(plain: nn.Module) -> nn.Module:
    return Defended(Binning(BINS, plain.get_buffer("0.at"), soft=False), plain.get_submodule("1"))


def try_bins(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """Ramps between the bins, then every bin that is in reach."""
    values = tuple(map(middles, named.get_buffer("mask.switches.edges")))
    return *through_surrogates(named, train), Exhaustive(values=values, reach=0.02)


def grow(plain: nn.Module, train: Samples) -> nn.Module:
    """A forest of scikit-learn, written into the plain form's arrays."""
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(PARTS, max_leaf_nodes=16, max_depth=DEPTH, random_state=0)
    forest.fit(train.x.numpy(), train.y.numpy())
    stage = plain.get_submodule("0")
    for row, tree in enumerate(part.tree_ for part in forest.estimators_):
        count, leaf = tree.node_count, tree.children_left < 0
        own = np.arange(count)
        arrays = {
            "a": np.where(leaf, 0, tree.feature),
            "b": np.where(leaf, own, tree.children_left),
            "c": np.where(leaf, own, tree.children_right),
            "d": np.where(leaf, 0.0, tree.threshold),
            "e": tree.value[:, 0],
        }
        assert count <= SIZE
        for name, array in arrays.items():
            stage.get_buffer(name)[row, :count] = torch.from_numpy(array)
    return plain


class Forest:
    """The plain form's trees as a fitted classifier."""

    classes_ = (0, 1)

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def predict_proba(self, X: NDArray[np.floating], /) -> NDArray[np.floating]:
        """Rows [N, 4] -> [N, 2]."""
        return self.stage.mean(torch.from_numpy(X)).numpy()


def ensemble(plain: nn.Module) -> nn.Module:
    stage = plain.get_submodule("0")
    assert isinstance(stage, Stage)
    return TreeEnsemble().defend(Forest(stage))


def try_leaves(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """Every cell between the trees' thresholds that is in reach."""
    del train
    assert isinstance(named, Trees)
    assert isinstance(named.classifier, Forest)
    stage = named.classifier.stage
    feature, threshold = stage.get_buffer("a"), stage.get_buffer("d")
    inner = stage.get_buffer("b") != torch.arange(SIZE)
    values = tuple(middles(threshold[inner & (feature == column)]) for column in range(4))
    return (Exhaustive(values=values, reach=0.02),)


def embedded(plain: nn.Module) -> nn.Module:
    stage = plain.get_submodule("0")
    tables = stage.get_submodule("parts")
    assert isinstance(tables, nn.ParameterList)
    return Defended(Lookup(CODES, tables, soft=False), plain.get_submodule("1"))


def try_codes(named: nn.Module, train: Samples) -> tuple[Attack, ...]:
    """Lines between neighbouring codes, then every pair of other codes."""
    values = tuple(tuple(map(float, range(count))) for count in CODES.counts)
    return *through_surrogates(named, train), Exhaustive(values=values)


BINNED = Entry(
    name="thyroid-binned",
    net="net_17",
    half="development",
    family="binned features",
    kind="tabular",
    data="thyroid",
    threat=threats.THYROID,
    module="0",
    train=train_bins,
    named=binned,
    attacks=try_bins,
)
TREES = Entry(
    name="thyroid-trees",
    net="net_04",
    half="development",
    family="tree ensemble",
    kind="tabular",
    data="thyroid",
    threat=threats.THYROID,
    module="0",
    train=grow,
    named=ensemble,
    attacks=try_leaves,
)
EMBEDDED = Entry(
    name="phishing-embedded",
    net="net_19",
    half="development",
    family="embedded categories",
    kind="tabular",
    data="phishing",
    threat=threats.PHISHING,
    module="0",
    train=plainly(30),
    named=embedded,
    attacks=try_codes,
)
