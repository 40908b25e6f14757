"""What an attack works on, and the best point it has visited, per sample.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, sec. 4 (report the best point visited).
Differs: the unperturbed x is scored first, and a first success is never replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol, Self, runtime_checkable

import torch
from torch import Tensor

from gradwarden.core.draws import Draws
from gradwarden.core.geometry import per_sample
from gradwarden.core.threat import Threat

# x [N, ...] -> logits [N, classes], or [draws, N, classes] of a model asked several times (EOT)
Model = Callable[[Tensor], Tensor]
# logits [N, classes], y [N], class aimed at [N] or None -> [N], larger is better
Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@runtime_checkable
class Keyed(Protocol):
    """A model that draws for each sample by its id, whatever the batch."""

    def keyed(self, ids: Sequence[int]) -> Model:
        """The model for a batch of the samples `ids` [N]."""
        ...


def keyed(model: Model, ids: Sequence[int]) -> Model:
    """`model` for a batch of the samples `ids` [N]."""
    return model.keyed(ids) if isinstance(model, Keyed) else model


class Seen(NamedTuple):
    """What logits say. Of several draws: their mean loss, strict majority and lower median."""

    loss: Tensor  # [N], differentiable
    reached: Tensor  # [N] bool
    margin: Tensor  # [N]; above 0 exactly where the goal is reached


class Attacked(NamedTuple):
    """What an attack returns: the first success stays; until then the largest loss wins.

    Passes are counted per sample, for a sample that is left out once it fell costs no more.
    """

    x_adv: Tensor  # [N, ...], feasible
    loss: Tensor  # [N]
    success: Tensor  # [N] bool
    margin: Tensor  # [N] in logits, of `x_adv`; above 0 where the goal is reached
    restart: Tensor  # [N] int, the restart that found `x_adv`
    forwards: Tensor  # [N] int
    backwards: Tensor  # [N] int
    infeasible: Tensor  # [N] bool: a point reached the goal that the threat's constraints forbid

    @property
    def left(self) -> Tensor:
        """[K] the rows that stand."""
        return (~self.success).nonzero()[:, 0]

    def at(self, rows: Tensor) -> Self:
        """The samples `rows` [K] alone."""
        return type(self)(*(part[rows] for part in self))

    def put(self, rows: Tensor, some: Self) -> Self:
        """With the samples `rows` [K] replaced by `some`."""
        pairs = zip(self, some, strict=True)
        return type(self)(*(part.index_copy(0, rows, new) for part, new in pairs))


class Problem(NamedTuple):
    """N samples under one threat, and the loss that the search climbs."""

    model: Model
    threat: Threat
    loss: Loss
    x: Tensor  # [N, ...] inside the threat's box
    y: Tensor  # [N]
    ids: Sequence[int]  # [N], key the draws
    aim: Tensor | None = None  # [N] the class that a targeted loss aims at

    def at(self, rows: Tensor) -> Self:
        """The samples `rows` [K] alone."""
        return self._replace(
            x=self.x[rows],
            y=self.y[rows],
            ids=[self.ids[row] for row in rows.tolist()],
            aim=None if self.aim is None else self.aim[rows],
        )

    def draws(self, seed: int, *purpose: object) -> Draws:
        """Keyed by `seed`, the samples' ids and `purpose`."""
        return Draws(seed, self.ids, *purpose)

    def ask(self, x: Tensor) -> Tensor:
        """One forward at x [N, ...] -> logits [N, classes], or [draws, N, classes]."""
        return keyed(self.model, self.ids)(x.clone())  # a model may write into its input

    def see(self, logits: Tensor) -> Seen:
        """What `ask` returned, against y and the goal."""
        goal = self.threat.goal
        if logits.ndim == 2:
            value = self.loss(logits, self.y, self.aim)
            return Seen(value, goal.reached(logits, self.y), goal.margin(logits, self.y))
        draws, flat, y = len(logits), logits.flatten(0, 1), self.y.repeat(len(logits))
        value = self.loss(flat, y, None if self.aim is None else self.aim.repeat(draws))
        votes = goal.reached(flat, y).view(draws, -1).sum(0)
        margin = goal.margin(flat, y).view(draws, -1)
        return Seen(value.view(draws, -1).mean(0), votes * 2 > draws, margin.median(0).values)

    def start(self) -> Attacked:
        """x itself as the best point so far: where y is missed already, it succeeds unperturbed.

        So accuracy under attack never exceeds clean accuracy.
        """
        with torch.no_grad():
            value, reached, margin = self.see(self.ask(self.x))
            zero = torch.zeros(len(self.x), dtype=torch.long, device=self.x.device)
            return Attacked(
                self.x.detach(),
                # Nothing compares above NaN: the search would stay at x for ever.
                torch.where(value.isnan(), float("-inf"), value),
                reached,
                margin,
                restart=zero,
                forwards=zero + 1,
                backwards=zero,
                infeasible=zero > 0,
            )

    def score(self, best: Attacked, x_adv: Tensor, restart: int = 0) -> tuple[Attacked, Tensor]:
        """One forward at x_adv [N, ...] -> (best so far, its loss [N], still differentiable).

        x_adv is in ball and box. Where the threat has constraints, x_adv should have been through
        `threat.repair`; a point that still breaks them neither succeeds nor becomes the best.
        """
        value, reached, margin = self.see(self.ask(x_adv))
        feasible = self.threat.feasible(x_adv, self.x)
        success = reached & feasible
        better = ~best.success & feasible & (success | (value > best.loss))
        best = best._replace(
            x_adv=torch.where(per_sample(better, x_adv), x_adv.detach(), best.x_adv),
            loss=torch.where(better, value.detach(), best.loss),
            success=best.success | success,
            margin=torch.where(better, margin.detach(), best.margin),
            restart=best.restart.masked_fill(better, restart),
            forwards=best.forwards + 1,
            infeasible=best.infeasible | (reached & ~feasible),
        )
        return best, value
