"""The threat of a table: types, what may change and which way, and relations between features.

`Threat(ball=Scaled(Linf(0.1), table.widths), box=table.box, constraints=table)` lets every feature
change by a tenth of its range, as far as `table` allows.

Source: Simonetto et al. 2024 (CAPGD), arXiv:2406.00775, sec. 3; TabularBench, arXiv:2408.07579.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.core.errors import BadInput
from gradwarden.core.expression import Relation, Target, relation
from gradwarden.core.tabular_features import (
    INF,
    Category,
    Feature,
    Integer,
    columns_of,
    features_of,
    one_hot,
    width_of,
)
from gradwarden.core.tabular_repair import distance, repaired
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class Tabular:
    """`features` in the order of the columns of x [N, D], and `relations` that hold between them.

    A relation is text such as `total == a + b` (see `core.expression`); <=, >= and == hold within
    `tolerance` times the larger of 1 and either side, in units of x. Implements `Constraints`.
    """

    features: tuple[Feature, ...]
    relations: tuple[str, ...] = ()
    tolerance: float = 1e-5

    def __post_init__(self) -> None:
        object.__setattr__(self, "features", tuple(self.features))
        object.__setattr__(self, "relations", tuple(self.relations))
        if not self.features or len(set(self.names)) < len(self.names):
            raise BadInput(f"features must have distinct names, got {self.names}")
        if not 0.0 <= self.tolerance < 1.0:
            raise BadInput(f"tolerance must be in [0, 1), got {self.tolerance}")
        _layout(self.features, self.relations)

    @classmethod
    def of(
        cls,
        x: Tensor,
        names: Sequence[str],
        *,
        immutable: Sequence[str] = (),
        increase: Sequence[str] = (),
        decrease: Sequence[str] = (),
        relations: Sequence[str] = (),
        tolerance: float = 1e-5,
    ) -> Tabular:
        """The schema of the table x [N, D] with columns called `names`; ranges are those of x.

        Columns "name=value" side by side, one of them 1 in each row, are a category; a column of
        whole numbers is `Integer`; one that never changes is immutable. `immutable`, `increase` and
        `decrease` name features. Raises BadInput where x itself breaks the schema.
        """
        groups = {"none": immutable, "increase": increase, "decrease": decrease}
        changes = {name: change for change, group in groups.items() for name in group}
        found = cls(
            features=features_of(x, names, changes),
            relations=tuple(relations),
            tolerance=tolerance,
        )
        found.check(x)
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """One a column."""
        return tuple(name for feature in self.features for name in columns_of(feature))

    @property
    def box(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Lowest and highest value of each column, for `Threat`."""
        ends = [
            (0.0, 1.0) if isinstance(feature, Category) else (feature.low, feature.high)
            for feature in self.features
            for _ in columns_of(feature)
        ]
        low, high = zip(*ends, strict=True)
        return low, high

    @property
    def widths(self) -> tuple[float, ...]:
        """Units of each column, for `Scaled`. Raises BadInput where a range has no end."""
        for feature in self.features:
            if width_of(feature) == INF:
                raise BadInput(f"{feature.name!r} has no finite range: give low and high, or width")
        return tuple(width_of(f) for f in self.features for _ in columns_of(f))

    @property
    def layout(self) -> Layout:
        """Which columns are what."""
        return _layout(self.features, self.relations)

    def check(self, x: Tensor) -> None:
        """Raises BadInput, naming feature or relation, sample and values, where x breaks them."""
        if x.ndim != 2 or x.shape[1] != len(self.names):
            raise BadInput(
                f"x must be [N, {len(self.names)}], a column for each name of the schema, got "
                f"shape {tuple(x.shape)}"
            )
        layout = self.layout
        for column in layout.whole:
            self._refuse(x, x[:, column] != x[:, column].round(), (column,), "is a whole number")
        for group in layout.groups:
            wrong = ~one_hot(x[:, list(group)])
            self._refuse(x, wrong, group, "has one column 1 and the others 0")
        for rule in layout.relations:
            broken = rule.violation(x, self.tolerance) > 0
            self._refuse(x, broken, rule.columns, f"satisfies {rule.text}")

    def _refuse(self, x: Tensor, broken: Tensor, columns: Sequence[int], rule: str) -> None:
        if broken.any():
            sample = int(broken.nonzero()[0])
            values = ", ".join(f"{self.names[c]} = {float(x[sample, c]):.9g}" for c in columns)
            raise BadInput(
                f"x must hold the schema: sample {sample} ({int(broken.sum())} of {len(x)} in all) "
                f"should be one that {rule}, got {values}"
            )

    def ends(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The bounds narrowed to what may change, and which way: [N, D] each."""
        falls, grows = (torch.tensor(m, device=x.device) for m in self.layout.ways)
        return torch.where(falls, low, x), torch.where(grows, high, x)

    def relax(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """With the columns that equalities determine computed from the rest; differentiable."""
        for column, value in self.layout.targets:
            found = value(x_adv.double()).to(x_adv.dtype)
            found = found.where(found.isfinite(), x_adv[:, column])
            at = torch.tensor([column], device=x_adv.device)
            x_adv = x_adv.index_copy(1, at, found[:, None])
        return x_adv

    def repair(self, x_adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
        """A point near x_adv [N, D], in ball and box, that holds wherever x does."""
        return repaired(self, x_adv, x, threat)

    def penalty(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """[N] how far off each relation is, in widths and to first order, summed up."""
        parts = [distance(self, rule, x_adv) for rule in self.layout.movable]
        return sum(parts, x_adv.new_zeros(len(x_adv)))

    def hold(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """[N] bool: types and directions exactly, relations to `tolerance`."""
        low, high = self.ends(x, x.new_tensor(-INF), x.new_tensor(INF))
        whole = x_adv[:, list(self.layout.whole)]
        holds = ((x_adv >= low) & (x_adv <= high)).all(1) & (whole == whole.round()).all(1)
        for group in self.layout.groups:
            holds = holds & one_hot(x_adv[:, list(group)])
        for rule in self.layout.relations:
            holds = holds & (rule.violation(x_adv, self.tolerance) == 0)
        return holds


class Layout(NamedTuple):
    """The columns of a schema, by what they are."""

    whole: tuple[int, ...]  # integers
    groups: tuple[tuple[int, ...], ...]  # one for each category
    ways: tuple[tuple[bool, ...], tuple[bool, ...]]  # [D] may decrease, may increase
    units: tuple[float, ...]  # [D] widths of the numbers that may change (1 if infinite), else 0
    relations: tuple[Relation, ...]
    movable: tuple[Relation, ...]  # those with a number that may change
    targets: tuple[Target, ...]  # columns that equalities determine, in an order to compute them


@cache
def _layout(features: tuple[Feature, ...], relations: tuple[str, ...]) -> Layout:
    columns = [(feature, name) for feature in features for name in columns_of(feature)]
    names = tuple(name for _, name in columns)
    read = tuple(relation(text, names) for text in relations)
    whole = tuple(c for c, (f, _) in enumerate(columns) if isinstance(f, Integer))
    groups = [tuple(c for c, (f, _) in enumerate(columns) if f is each) for each in features]
    falls = tuple(f.change in ("any", "decrease") for f, _ in columns)
    grows = tuple(f.change in ("any", "increase") for f, _ in columns)
    units = tuple(_unit(feature) for feature, _ in columns)
    free = {c for c, unit in enumerate(units) if unit}
    return Layout(
        whole,
        tuple(g for f, g in zip(features, groups, strict=True) if isinstance(f, Category)),
        (falls, grows),
        units,
        read,
        tuple(rule for rule in read if free.intersection(rule.columns)),
        _targets(read, free),
    )


def _unit(feature: Feature) -> float:
    if isinstance(feature, Category) or feature.change == "none":
        return 0.0
    return width_of(feature) if width_of(feature) < INF else 1.0


def _targets(relations: Sequence[Relation], free: set[int]) -> tuple[Target, ...]:
    """One for each equality that can have one, each column once; what others use comes first."""
    found: dict[int, tuple[Target, set[int]]] = {}
    for rule in relations:
        fitting = [t for t in rule.targets if t.column in free and t.column not in found]
        if fitting:
            found[fitting[0].column] = fitting[0], set(rule.columns) - {fitting[0].column}
    ordered: list[Target] = []
    while found:
        ready = [c for c, (_, uses) in found.items() if not uses & (found.keys() - {c})]
        column = ready[0] if ready else next(iter(found))
        ordered.append(found.pop(column)[0])
    return tuple(ordered)
