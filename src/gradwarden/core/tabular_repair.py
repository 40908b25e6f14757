"""Brings a point of a search back to what a table allows.

Whole numbers are rounded, towards x where the ball ends, categories take the largest column, equalities compute the
column that they determine, other relations are met by the shortest step of first order; what then
still breaks is pulled towards x, which holds.

Source: Simonetto et al. 2024 (CAPGD), arXiv:2406.00775, sec. 3.3 (repair of equalities).
Differs: inequalities are repaired too, and a point that cannot be repaired is pulled towards x.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gradwarden.core.expression import Relation
from gradwarden.core.geometry import tiny

if TYPE_CHECKING:
    from gradwarden.core.tabular import Tabular
    from gradwarden.core.threat import Threat

SWEEPS = 4  # over the relations, since meeting one may break another
HALVINGS = 4  # of the way to x
ROUNDING = 5e-6  # relative, half of what `Threat.allows` forgives


def repaired(table: Tabular, x_adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
    """x_adv [N, D] -> a point that holds, in ball and box; x itself where nothing else is found."""
    done = table.hold(x_adv, x) & threat.near(x_adv, x)
    out = x_adv.where(done[:, None], x)
    rows = (~done).nonzero()[:, 0]
    if len(rows):
        start = x[rows]
        wanted = x_adv[rows].where(x_adv[rows].isfinite(), start).clamp(*threat.ends(start))
        with_categories = _categories(table, wanted, start, threat)
        for base in (with_categories, start):
            left = (~done[rows]).nonzero()[:, 0]
            if not len(left):
                break
            found, holds = _pulled(table, wanted[left], base[left], start[left], threat)
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


def _categories(table: Tabular, wanted: Tensor, x: Tensor, threat: Threat) -> Tensor:
    """x, with each category that is wanted and that the ball allows beside those before it."""
    point = x
    for group in map(list, table.layout.groups):
        score = wanted[:, group]
        # Among equals not the category of x, whose column is 1 unless the search lowered it.
        score = score - x[:, group] * 1e-6
        chosen = torch.nn.functional.one_hot(score.argmax(1), len(group)).to(x.dtype)
        other = point.index_copy(1, torch.tensor(group, device=x.device), chosen)
        point = other.where(threat.near(other, x)[:, None], point)
    return point


def _pulled(
    table: Tabular, wanted: Tensor, base: Tensor, x: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    """Numbers as near to `wanted` on the way from x as holds, categories of `base`; where it does."""

    def tried(share: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        point = _settled(table, wanted[rows], base[rows], x[rows], share, threat)
        return point, table.hold(point, x[rows]) & threat.near(point, x[rows])

    best, holds = tried(x.new_ones(len(x)), torch.arange(len(x), device=x.device))
    rows = (~holds).nonzero()[:, 0]
    low, high = x.new_zeros(len(rows)), x.new_ones(len(rows))
    for halving in range(HALVINGS + 1 if len(rows) else 0):
        share = (low + high) / 2 if halving else low
        point, fine = tried(share, rows)
        best[rows[fine]] = point[fine]
        holds[rows[fine]] = True
        low, high = share.where(fine, low), high.where(fine | (share == 0), share)
    return best, holds


def _settled(
    table: Tabular, wanted: Tensor, base: Tensor, x: Tensor, share: Tensor, threat: Threat
) -> Tensor:
    """Numbers `share` [N] of the way from x to `wanted`, categories of `base`, then the rules."""
    numbers = torch.tensor(table.layout.units, device=x.device) > 0
    way = torch.where((share == 1)[:, None], wanted, x + share[:, None] * (wanted - x))
    point = _whole(table, torch.where(numbers, way, base), x, threat)
    units = x.new_tensor(table.layout.units).expand_as(x).clone()
    for _ in range(SWEEPS):
        point = _computed(table, point)
        left = (~(table.hold(point, x) & threat.near(point, x))).nonzero()[:, 0]
        if not len(left):
            break
        some, start = point[left], x[left]
        for rule in table.layout.movable:
            some = _met(table, rule, some, units[left])
        ended = threat.nearest(some, start)
        # What the ball or the box stopped leaves the next step to the others.
        stopped = (ended - some).abs() > ROUNDING * some.abs()
        stopped = stopped & (numbers & ~stopped).any(1, keepdim=True)
        units[left] = units[left].masked_fill(stopped, 0.0)
        some = torch.where(numbers, ended, some)
        point = point.index_copy(0, left, _whole(table, some, start, threat))
    return _computed(table, point)


def _whole(table: Tabular, point: Tensor, x: Tensor, threat: Threat) -> Tensor:
    """Integers rounded to the nearest where ball and box allow, or else towards x."""
    columns = torch.tensor(table.layout.whole, dtype=torch.long, device=x.device)
    own, at = point[:, columns], x[:, columns]
    by = own - at
    # Not towards x what arithmetic alone took off a whole step.
    slack = ROUNDING * by.abs() + torch.finfo(x.dtype).eps / 2 * own.abs()
    inner = point.index_copy(1, columns, at + (by + by.sign() * slack).trunc())
    outer = point.index_copy(1, columns, own.round())
    near = threat.near(outer, x)
    if near.all():
        return outer
    found = outer.where(near[:, None], inner)
    for column in columns[(inner != outer)[:, columns].any(0)].tolist():
        other = found.index_copy(1, columns.new_tensor([column]), outer[:, column, None])
        found = other.where(threat.near(other, x)[:, None], found)
    return found


def _computed(table: Tabular, point: Tensor) -> Tensor:
    columns = torch.tensor(table.layout.whole, dtype=torch.long, device=point.device)
    point = table.relax(point, point)
    return point.index_copy(1, columns, point[:, columns].round())


def _met(table: Tabular, rule: Relation, x: Tensor, units: Tensor) -> Tensor:
    """The shortest step in `units` [N, D] after which `rule` holds to first order."""
    with torch.no_grad():
        if not rule.violation(table.relax(x, x), table.tolerance).any():
            return x
    by, slope = _slope(table, rule, x)
    weighed = slope * units.double().square()
    length = (slope * weighed).sum(1, keepdim=True).clamp(min=tiny(slope))
    return (x - by[:, None] * weighed / length).to(x.dtype)


def _slope(table: Tabular, rule: Relation, x: Tensor) -> tuple[Tensor, Tensor]:
    """The violation [N] and its gradient [N, D], through the columns that equalities determine."""
    with torch.enable_grad():
        leaf = x.detach().double().requires_grad_()
        by = rule.violation(table.relax(leaf, leaf), table.tolerance)
        (slope,) = torch.autograd.grad(by.sum(), leaf, materialize_grads=True)
    return by.detach(), slope.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
