"""Attacks made for one defence at a time: what turns a general attack into the right one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from gradwarden.core.search import Attacked, Model, Problem
from gradwarden.core.threat import Threat


def scored(
    model: Model, x_adv: Tensor, x: Tensor, y: Tensor, threat: Threat, ids: Sequence[int] | None
) -> Attacked:
    """The points x_adv [N, ...], as the model itself answers them."""
    names = range(len(x)) if ids is None else ids
    problem = Problem(
        model, threat, lambda logits, y, aim: threat.goal.margin(logits, y), x, y, names
    )
    with torch.no_grad():
        return problem.score(problem.start(), threat.repair(x_adv, x))[0]


@dataclass(frozen=True, kw_only=True)
class Exhaustive:
    """Every combination of `values`, feature by feature, that the threat allows.

    For models of few features that are constant between these values. Where each place that the
    threat allows has the answer of one of the combinations, what stands is truly robust. `reach`
    adds each feature's own value plus and minus that much.
    """

    values: tuple[tuple[float, ...], ...] = field(repr=False)  # of each feature
    reach: float = 0.0

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        """x [N, F] -> the point of the largest margin; draws nothing."""
        del seed
        best = scored(model, x, x, y, threat, ids)
        for row in best.left.tolist():
            for points in self._points(x[row : row + 1], threat).split(8192):
                like = x[row : row + 1].expand_as(points)
                found = scored(model, points, like, y[row].expand(len(points)), threat, None)
                top = found.margin.argmax()
                if found.margin[top] > best.margin[row]:
                    best = best.put(torch.tensor([row]), found.at(top[None]))
        return best

    def _points(self, x: Tensor, threat: Threat) -> Tensor:
        """x [1, F] -> [K, F] allowed points."""
        columns = []
        for column, values in enumerate(self.values):
            own = x[0, column]
            some = torch.cat(
                [torch.stack([own, own - self.reach, own + self.reach]), x.new_tensor(values)]
            )
            alone = x.repeat(len(some), 1)
            alone[:, column] = some
            ends = threat.project(alone[:3], x)
            tried = torch.cat([ends, alone[3:]])
            allowed = threat.allows(tried, x.expand_as(tried))
            columns.append(tried[allowed, column].unique())
        points = torch.cartesian_prod(*columns).view(-1, len(columns))
        return points[threat.allows(points, x.expand_as(points))]
