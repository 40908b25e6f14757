"""The features of a table: numbers, whole numbers, categories, and what of them may change."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from itertools import groupby

from torch import Tensor

from gradwarden.core.errors import BadInput

INF = math.inf
CHANGES = ("any", "increase", "decrease", "none")


@dataclass(frozen=True)
class Real:
    """A number in [low, high]; `change` is "any", "increase", "decrease" or "none" (immutable).

    `width` is the change that counts as 1 in `Tabular.widths`; default high - low.
    """

    name: str
    low: float = -INF
    high: float = INF
    _: KW_ONLY
    change: str = "any"
    width: float | None = None

    def __post_init__(self) -> None:
        _check_number(self)


@dataclass(frozen=True)
class Integer:
    """A whole number; options as those of `Real`."""

    name: str
    low: float = -INF
    high: float = INF
    _: KW_ONLY
    change: str = "any"
    width: float | None = None

    def __post_init__(self) -> None:
        _check_number(self)


@dataclass(frozen=True)
class Category:
    """One of `values`: as many columns, called "name=value", one of them 1 and the others 0.

    `change` is "any" or "none". Another category is two columns that change by 1, in units of
    `width`: with width 1 a change of size 1 in Linf, sqrt(2) in L2, 2 in L1 and in L0. So under
    Scaled(Linf(0.1), ...) only categories with a width of at least 10 may change.
    """

    name: str
    values: tuple[str, ...]
    _: KW_ONLY
    change: str = "any"
    width: float = 1.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(map(str, self.values)))
        if len(self.values) < 2 or len(set(self.values)) < len(self.values):
            raise BadInput(f"{self.name!r} must have 2 or more distinct values, got {self.values}")
        _check_change(self.name, self.change, ("any", "none"))
        _check_width(self.name, self.width)


Feature = Real | Integer | Category


def columns_of(feature: Feature) -> tuple[str, ...]:
    """The names of its columns."""
    if isinstance(feature, Category):
        return tuple(f"{feature.name}={value}" for value in feature.values)
    return (feature.name,)


def width_of(feature: Feature) -> float:
    """The change that counts as 1; infinite where the range has no end and no width is given."""
    return feature.high - feature.low if feature.width is None else feature.width


def features_of(x: Tensor, names: Sequence[str], changes: Mapping[str, str]) -> tuple[Feature, ...]:
    """What the columns of x [N, D] are, with the ranges seen; `changes` by name of feature."""
    if x.ndim != 2 or not len(x) or x.shape[1] != len(names):
        raise BadInput(f"expected rows of {len(names)} columns, got shape {tuple(x.shape)}")
    groups = [list(group) for _, group in groupby(range(len(names)), lambda c: _group(names[c], c))]
    parts = [part for group in groups for part in _split(x, group)]
    features = tuple(_feature(x, part, [names[c] for c in part], changes) for part in parts)
    unknown = set(changes) - {feature.name for feature in features}
    if unknown:
        raise BadInput(f"no feature is called {', '.join(map(repr, sorted(unknown)))}")
    return features


def _group(name: str, column: int) -> str | int:
    """Equal for columns that may be one category."""
    return name.partition("=")[0] if "=" in name else column


def _split(x: Tensor, group: list[int]) -> list[list[int]]:
    return [group] if len(group) > 1 and one_hot(x[:, group]).all() else [[c] for c in group]


def _feature(x: Tensor, group: list[int], names: list[str], changes: Mapping[str, str]) -> Feature:
    if len(group) > 1:
        name = names[0].partition("=")[0]
        values = tuple(each.partition("=")[2] for each in names)
        return Category(name, values, change=changes.get(name, "any"))
    column, name = x[:, group[0]], names[0]
    low, high = float(column.min()), float(column.max())
    kind = Integer if bool((column == column.round()).all()) else Real
    if low == high:
        return kind(name, low, low + 1.0, change="none")
    return kind(name, low, high, change=changes.get(name, "any"))


def one_hot(x: Tensor) -> Tensor:
    """[N] bool: of x [N, K] one is 1 and the others are 0."""
    return ((x == 0) | (x == 1)).all(1) & (x.sum(1) == 1)


def _check_number(feature: Real | Integer) -> None:
    name, low, high = feature.name, feature.low, feature.high
    if not low < high:
        raise BadInput(f"{name!r} must have low < high, got {low:g} and {high:g}")
    _check_change(name, feature.change, CHANGES)
    if feature.width is not None:
        _check_width(name, feature.width)


def _check_change(name: str, change: str, known: Sequence[str]) -> None:
    if change not in known:
        raise BadInput(f"change of {name!r} must be one of {', '.join(known)}, got {change!r}")


def _check_width(name: str, width: float) -> None:
    if not 0.0 < width < INF:
        raise BadInput(f"width of {name!r} must be a finite number above 0, got {width}")
