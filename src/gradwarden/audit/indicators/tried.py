"""What several indicators look at, each asked of the model once: passes, gradients, attacks.

The samples are those that an attack can still take: right as they are, and with finite logits. All
of it together costs about 400 forwards a sample, a backward counted as two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from gradwarden.attack.apgd import APGD
from gradwarden.attack.asking import about
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.gradient import climbed
from gradwarden.attack.losses import loss_of
from gradwarden.attack.pgd import PGD
from gradwarden.attack.square import Square
from gradwarden.audit.case import Case, quiet
from gradwarden.audit.indicators.balls import grown, unbounded
from gradwarden.audit.indicators.walk import Walked, walk
from gradwarden.core.draws import Draws
from gradwarden.core.protocols import Attack
from gradwarden.core.search import Attacked, Problem, Seen
from gradwarden.core.threat import Threat

T = TypeVar("T")
REPEATS = 5  # forwards of the same samples
CLOSE = 10  # points at most
RADII = (1.0, 2.0, 4.0)  # of the threat's


class NotRunError(Exception):
    """Why an indicator has nothing to say of a model: the rest of a sentence."""


class Slope(NamedTuple):
    """The gradient of a loss at K points, as an attacker gets it."""

    loss: Tensor  # [K]
    grad: Tensor  # [K, ...]; NaN, and a path that is missing, are 0
    found: Tensor  # [K] bool: autograd finds a path

    @property
    def zero(self) -> Tensor:
        """[K] bool: no direction at all."""
        return ~self.grad.flatten(1).any(1)


@dataclass(frozen=True, eq=False, kw_only=True)
class Tried:
    """`case`, and what was tried on it; K of its samples can be attacked.

    The white box is FGSM and `steps` steps of PGD, `step_size` ball radii long, on the
    cross-entropy: the attacker who believes the gradient. The black box is `queries` of Square.
    """

    case: Case
    steps: int = 20
    step_size: float = 0.125
    queries: int = 80
    draws: int = 20

    @cached_property
    def problem(self) -> Problem:
        """Of the K samples, with the cross-entropy. Raises NotRunError where K is 0."""
        case = self.case
        loss = loss_of(case.threat.goal, "cross-entropy")
        whole = Problem(case.model, case.threat, loss, case.x, case.y, range(len(case.x)))
        start = self._quietly(whole.start)
        rows = (~start.success & start.margin.isfinite()).nonzero()[:, 0]
        if not len(rows):
            raise NotRunError("no sample is classified right to begin with")
        return whole.at(rows)

    @cached_property
    def blank(self) -> Attacked:
        """Nothing found yet: a model that draws may miss a sample at the second look."""
        start = self._quietly(self.problem.start)
        zero, low = torch.zeros_like(start.backwards), torch.full_like(start.loss, float("-inf"))
        return start._replace(loss=low, success=zero > 0, backwards=zero)

    @cached_property
    def logits(self) -> Tensor:
        """[REPEATS, K, classes], of the same K samples."""

        def ask() -> Tensor:
            return torch.stack([self.problem.ask(self.problem.x) for _ in range(REPEATS)])

        with torch.no_grad():
            return self._quietly(ask)

    @cached_property
    def at_x(self) -> dict[str, Slope]:
        """By loss, at the samples themselves."""
        losses = ("cross-entropy", "margin", "dlr")
        return {loss: self.slope(loss, self.problem.x) for loss in losses}

    def slope(self, loss: str, at: Tensor) -> Slope:
        """At points [K, ...], one for each sample."""
        problem = self.problem._replace(loss=loss_of(self.problem.threat.goal, loss))
        after, value, grad = self._quietly(lambda: climbed(self.blank, problem, at))
        return Slope(value, grad, after.backwards > 0)

    def margins(self, points: Sequence[Tensor]) -> Tensor:
        """[P, K] at each of P points [K, ...]; a model that draws goes on drawing."""
        problem = self.problem._replace(loss=loss_of(self.problem.threat.goal, "margin"))
        tried = [problem.threat.repair(at, problem.x) for at in points]

        def ask() -> Tensor:
            return torch.stack([problem.see(problem.ask(at)).loss for at in tried])

        with torch.no_grad():
            return self._quietly(ask)

    @cached_property
    def nearby(self) -> Slope:
        """The margin's, at a random point of each sample's ball."""
        return self.slope("margin", self.points[0])

    @cached_property
    def points(self) -> Tensor:
        """[draws, K, ...] random points of the ball."""
        draws = self._draws("points")
        many = [self.problem.threat.sample(self.problem.x, draws) for _ in range(self.draws)]
        return torch.stack(many)

    @cached_property
    def around(self) -> Seen:
        """What the model says of `points`, [draws, K] each; the loss is the margin."""
        problem = self.problem._replace(loss=loss_of(self.problem.threat.goal, "margin"))
        return self._quietly(lambda: about(problem, self.points))

    @cached_property
    def close(self) -> Tensor:
        """[1 + CLOSE, K] margins at x and at random points of a hundredth of the ball."""
        x, far = self.problem.x, self.points[:CLOSE]
        return self.margins([x, *(x + 0.01 * (far - x))])

    def corner(self, number: int) -> Tensor:
        """[K, ...] the edge of the ball in a random direction."""
        problem, draws = self.problem, self._draws("corner", number)
        return problem.threat.step(problem.x, draws.normal(problem.x), 1.0, problem.x)

    @cached_property
    def fgsm(self) -> Attacked:
        return self.run(FGSM())

    @cached_property
    def path(self) -> Walked:
        """PGD as it was published: from a random point, not ended by a success."""
        first = self.problem.threat.sample(self.problem.x, self._draws("path"))
        sizes = [self.step_size] * self.steps
        return self._quietly(lambda: walk(self.blank, self.problem, first, sizes))

    @cached_property
    def white_box(self) -> Tensor:
        """[K] bool: FGSM or a point of the path succeeds."""
        return self.fgsm.success | self.path.reached.any(0)

    @cached_property
    def square(self) -> Attacked:
        return self.run(Square(queries=self.queries))

    @cached_property
    def dlr(self) -> Attacked:
        return self.run(APGD(steps=15, loss="dlr"))

    @cached_property
    def unbounded(self) -> Attacked:
        """The margin climbed from x itself, with the box as the only bound."""
        threat = unbounded(self.problem.threat, self.problem.x)
        if threat is None:
            raise NotRunError("the box or the ball is open, so that nothing is its far end")
        return self.run(PGD(steps=20, step_size=0.1, loss="margin", start="clean"), threat)

    @cached_property
    def wider(self) -> tuple[Tensor, ...]:
        """[K] bool for each of RADII: the same PGD from x itself succeeds in that ball."""
        attack = PGD(steps=6, step_size=0.35, start="clean")
        balls = [grown(self.problem.threat, factor) for factor in RADII]
        return tuple(self.run(attack, threat).success for threat in balls)

    def run(self, attack: Attack, threat: Threat | None = None) -> Attacked:
        """`attack` on the K samples, under the case's threat or another."""
        problem, seed = self.problem, self.case.seed
        run = partial(attack.run, problem.model, problem.x, problem.y, seed=seed, ids=problem.ids)
        return self._quietly(lambda: run(threat=threat or problem.threat))

    def _draws(self, *purpose: object) -> Draws:
        return self.problem.draws(self.case.seed, "indicators", *purpose)

    def _quietly(self, run: Callable[[], T]) -> T:
        with quiet(self.case.x, self.case.seed):
            return run()


def cosine(one: Tensor, two: Tensor) -> Tensor:
    """[K] between the rows of two [K, ...]; 0 where either is 0: no direction agrees with none."""
    a, b = (_scaled(part.detach().flatten(1).double()) for part in (one, two))
    size = a.norm(dim=1) * b.norm(dim=1)
    return torch.where(size > 0, (a * b).sum(1) / size.clamp(min=1e-300), 0.0)


def _scaled(rows: Tensor) -> Tensor:
    """Rows with a largest element of 1, so that no square under- or overflows."""
    largest = rows.abs().amax(1, keepdim=True)
    return torch.where(largest > 0, rows / largest, rows)
