"""What an attack climbs, by name. One name, one row of `LOSSES`.

A loss compares two classes: `up`, which shall win, and `down`, which shall lose. Untargeted, `down`
is y and `up` the best other class; for `Targeted`, `up` is the goal's class and `down` the best
other; a loss that is handed the class to aim at [N] takes that class and y. Goals of other kinds
(`Evades`) have two classes only, and every loss but the cross-entropy is their margin.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. V.A (margin); Croce & Hein 2020,
arXiv:2003.01690, sec. 4 and 5 (difference of logits ratio, targeted and not); Xie et al. 2024,
arXiv:2411.15210, sec. 3 (probability margin).
Differs: see each.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid

from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Goal, Strongest, Targeted, Untargeted
from gradwarden.core.search import Loss

EACH = "each"


class Pair(NamedTuple):
    """Which class shall win against which, each [N]."""

    up: Tensor
    down: Tensor
    wanted: bool  # whether `up` is the class that is named, or else `down`


def untargeted(goal: Goal) -> bool:
    """Whether any class but y will do, so that an attack may choose which one to aim at."""
    return isinstance(_inner(goal), Untargeted)


def _inner(goal: Goal) -> Goal:
    return _inner(goal.goal) if isinstance(goal, Strongest) else goal


def _pair(goal: Goal, logits: Tensor, y: Tensor, aim: Tensor | None) -> Pair | None:
    """None for a goal that is neither untargeted nor targeted."""
    if aim is not None:
        return Pair(aim, y, wanted=True)
    inner = _inner(goal)
    if isinstance(inner, Untargeted):
        return Pair(_best_but(logits, y), y, wanted=False)
    if isinstance(inner, Targeted):
        label = torch.full_like(y, inner.label)
        return Pair(label, _best_but(logits, label), wanted=True)
    return None


def _best_but(logits: Tensor, label: Tensor) -> Tensor:
    return _without(logits, label).argmax(1)


def _without(logits: Tensor, label: Tensor) -> Tensor:
    """`logits` [N, classes] with class `label` [N] ruled out."""
    return logits.scatter(1, label[:, None], float("-inf"))


def _of(logits: Tensor, label: Tensor) -> Tensor:
    return logits.gather(1, label[:, None])[:, 0]


def _cross_entropy(goal: Goal, logits: Tensor, y: Tensor, aim: Tensor | None) -> Tensor:
    """-log p(y); log p of the class aimed at. Its gradient is 0 where the model is sure enough."""
    if aim is None:
        return goal.loss(logits, y)
    return -cross_entropy(logits, aim, reduction="none")


def _margin(goal: Goal, logits: Tensor, y: Tensor, aim: Tensor | None) -> Tensor:
    """The logit of `up` minus that of `down`. Differs: not cut off at 0."""
    if aim is None:
        return goal.margin(logits, y)
    return _of(logits, aim) - _of(logits, y)


def _dlr(goal: Goal, logits: Tensor, y: Tensor, aim: Tensor | None) -> Tensor:
    """The margin in units of the logits' spread, so that their scale drops out.

    Differs: with two classes, or fewer than three that are not ruled out by -inf, it is the margin:
    the spread would be the margin itself, the ratio constant.
    """
    pair, margin = _pair(goal, logits, y, aim), _margin(goal, logits, y, aim)
    if pair is None or logits.shape[1] < 3:
        return margin
    spread = _spread(logits, pair.wanted)
    return margin / spread.where(spread.isfinite(), 1.0)


def _spread(logits: Tensor, wanted: bool) -> Tensor:
    """[N] the largest logit minus the third; minus the mean of third and fourth for a wanted class.

    With three classes there is no fourth, and the mean of second and third keeps the ratio of a
    wanted third class from being constant.
    """
    top = logits.topk(min(4, logits.shape[1]), dim=1).values
    low = top[:, -2:].mean(1) if wanted else top[:, 2]
    return (top[:, 0] - low).clamp(min=1e-12)


def _log_probability(goal: Goal, logits: Tensor, y: Tensor, aim: Tensor | None) -> Tensor:
    """The log odds against y (for the wanted class): log(1 - p) - log p, from the logits.

    As -log p the same order of points and, up to a factor, the same gradient of each sample; but
    the factor of cross-entropy, 1 - p, is 0 in float32 where the model is sure, and this one is 1.
    """
    pair = _pair(goal, logits, y, aim)
    if pair is None:
        return goal.margin(logits, y)
    named = pair.up if pair.wanted else pair.down
    odds = _without(logits, named).logsumexp(1) - _of(logits, named)
    return -odds if pair.wanted else odds


def _probability_margin(goal: Goal, logits: Tensor, y: Tensor, aim: Tensor | None) -> Tensor:
    """log(1 + p(up) - p(down)), which orders points as p(up) - p(down) does.

    Differs: the log, taken from the logits: the bare difference is -1 in float32, and its gradient
    0, where the model is sure.
    """
    pair = _pair(goal, logits, y, aim)
    if pair is None:
        return goal.margin(logits, y)
    others = _without(logits, pair.down)
    total = others.logsumexp(1)
    share = (_of(others, pair.up) - total).exp()
    return logsigmoid(total - _of(logits, pair.down)) + share.log1p()


LOSSES: dict[str, Callable[[Goal, Tensor, Tensor, Tensor | None], Tensor]] = {
    "cross-entropy": _cross_entropy,
    "margin": _margin,
    "dlr": _dlr,
    "log-probability": _log_probability,
    "probability-margin": _probability_margin,
}
# What "each" runs: log-probability climbs wherever cross-entropy does, and where that is flat.
IN_TURN = ("margin", "dlr", "probability-margin", "log-probability")


def check_loss(name: str, *, each: bool = False) -> None:
    """Raises BadInput unless `name` is a loss, or "each" where the attack takes it."""
    if name not in LOSSES and not (each and name == EACH):
        names = (*LOSSES, EACH) if each else LOSSES
        raise BadInput(f"loss must be one of {', '.join(names)}, got {name!r}")


def loss_of(goal: Goal, name: str) -> Loss:
    """The loss called `name`, of `goal`."""
    check_loss(name)
    compute = LOSSES[name]
    return lambda logits, y, aim: compute(goal, logits, y, aim)


def losses_of(goal: Goal, name: str) -> tuple[Loss, ...]:
    """The one called `name`, or for "each" those that are climbed in turn, from the same start."""
    return tuple(loss_of(goal, one) for one in (IN_TURN if name == EACH else (name,)))
