"""Brings a point of a search back to what a table allows.

Whole numbers are rounded towards x, categories take the largest column, equalities compute the
column that they determine, other relations are met by the shortest step of first order; what then
still breaks is pulled towards x, which holds.

Source: Simonetto et al. 2024 (CAPGD), arXiv:2406.00775, sec. 3.3 (repair of equalities).
Differs: inequalities are repaired too, and a point that cannot be repaired is pulled towards x.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradwarden.core.expression import Relation
from gradwarden.core.geometry import tiny

if TYPE_CHECKING:
    from gradwarden.core.tabular import Tabular

Near = Callable[[Tensor, Tensor], Tensor]  # x_adv, x [N, D] -> [N] bool: in ball and box

SWEEPS = 3  # over the relations, since meeting one may break another
HALVINGS = 6  # of the way to x
ROUNDING = 5e-6  # relative, half of what `Threat.allows` forgives


def repaired(table: Tabular, x_adv: Tensor, x: Tensor, near: Near) -> Tensor:
    """x_adv [N, D] -> a point that holds and that `near` allows; x itself where nothing else."""
    done = table.hold(x_adv, x) & near(x_adv, x)
    out = x_adv.where(done[:, None], x)
    rows = (~done).nonzero()[:, 0]
    if len(rows):
        point = x_adv[rows].where(x_adv[rows].isfinite(), x[rows])
        wanted = point.clamp(*_free(table, x[rows]))
        with_categories = _categories(table, wanted, x[rows], near)
        for base in (with_categories, x[rows]):
            left = (~done[rows]).nonzero()[:, 0]
            if not len(left):
                break
            found, holds = _pulled(table, wanted[left], base[left], x[rows[left]], near)
            out[rows[left[holds]]] = found[holds]
            done[rows[left]] = holds
    return out


def distance(table: Tabular, rule: Relation, x: Tensor) -> Tensor:
    """[N] to the nearest point where `rule` holds, in widths and to first order; differentiable."""
    _, slope = _slope(table, rule, x)
    scale = (slope * slope.new_tensor(table.layout.units)).norm(dim=1)
    by = rule.violation(table.relax(x, x), table.tolerance)
    found: Tensor = by / scale.where(scale > 0, 1.0)
    return found.to(x.dtype)


def _free(table: Tabular, x: Tensor) -> tuple[Tensor, Tensor]:
    return table.ends(x, x.new_tensor(-torch.inf), x.new_tensor(torch.inf))


def _categories(table: Tabular, wanted: Tensor, x: Tensor, near: Near) -> Tensor:
    """x, with each category that is wanted and that the ball allows beside those before it."""
    point = x
    for group in map(list, table.layout.groups):
        score = wanted[:, group]
        # Among equals the category of x: another one must be larger.
        score = score + x[:, group] * 1e-6
        chosen = torch.nn.functional.one_hot(score.argmax(1), len(group)).to(x.dtype)
        other = point.index_copy(1, torch.tensor(group, device=x.device), chosen)
        point = other.where(near(other, x)[:, None], point)
    return point


def _pulled(
    table: Tabular, wanted: Tensor, base: Tensor, x: Tensor, near: Near
) -> tuple[Tensor, Tensor]:
    """Numbers as near to `wanted` on the way from x as holds, categories of `base`; where it does."""

    def tried(share: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        point = _settled(table, wanted[rows], base[rows], x[rows], share)
        return point, table.hold(point, x[rows]) & near(point, x[rows])

    every = torch.arange(len(x), device=x.device)
    best, holds = tried(x.new_ones(len(x)), every)
    rows = (~holds).nonzero()[:, 0]
    low, high = x.new_zeros(len(rows)), x.new_ones(len(rows))
    for halving in range(HALVINGS + 1 if len(rows) else 0):
        share = (low + high) / 2 if halving else low
        point, fine = tried(share, rows)
        best[rows[fine]] = point[fine]
        holds[rows[fine]] = True
        low, high = share.where(fine, low), high.where(fine | (share == 0), share)
    return best, holds


def _settled(table: Tabular, wanted: Tensor, base: Tensor, x: Tensor, share: Tensor) -> Tensor:
    """Numbers `share` [N] of the way from x to `wanted`, categories of `base`, then the rules."""
    numbers = torch.tensor(table.layout.units, device=x.device) > 0
    way = torch.where((share == 1)[:, None], wanted, x + share[:, None] * (wanted - x))
    point = _whole(table, torch.where(numbers, way, base), x)
    free = _free(table, x)
    for _ in range(SWEEPS):
        point = _computed(table, point, x)
        if table.hold(point, x).all():
            break
        for rule in table.layout.relations:
            point = _met(table, rule, point).clamp(*free)
        point = _whole(table, point, x)
    return _computed(table, point, x)


def _whole(table: Tabular, point: Tensor, x: Tensor) -> Tensor:
    """Integers rounded towards x, but not for what arithmetic alone took off a whole step."""
    columns = torch.tensor(table.layout.whole, dtype=torch.long, device=x.device)
    own, at = point[:, columns], x[:, columns]
    by = own - at
    slack = ROUNDING * by.abs() + torch.finfo(x.dtype).eps / 2 * own.abs()
    return point.index_copy(1, columns, at + (by + by.sign() * slack).trunc())


def _computed(table: Tabular, point: Tensor, x: Tensor) -> Tensor:
    columns = torch.tensor(table.layout.whole, dtype=torch.long, device=x.device)
    point = table.relax(point, x)
    return point.index_copy(1, columns, point[:, columns].round())


def _met(table: Tabular, rule: Relation, x: Tensor) -> Tensor:
    """The shortest step, in widths, after which `rule` holds to first order."""
    by, slope = _slope(table, rule, x)
    weighed = slope * slope.new_tensor(table.layout.units).square()
    length = (slope * weighed).sum(1, keepdim=True).clamp(min=tiny(slope))
    return (x - by[:, None] * weighed / length).to(x.dtype)


def _slope(table: Tabular, rule: Relation, x: Tensor) -> tuple[Tensor, Tensor]:
    """The violation [N] and its gradient [N, D], through the columns that equalities determine."""
    with torch.enable_grad():
        leaf = x.detach().double().requires_grad_()
        by = rule.violation(table.relax(leaf, leaf), table.tolerance)
        (slope,) = torch.autograd.grad(by.sum(), leaf, materialize_grads=True)
    return by.detach(), slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
