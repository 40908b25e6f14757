"""What the attacker wants, and how near to it a model's answer is.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. V.A (the margin of logits).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor


class Goal(Protocol):
    """What the attacker wants. logits [N, classes], y [N]."""

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        """[N], differentiable; larger is nearer to success."""
        ...

    def margin(self, logits: Tensor, y: Tensor) -> Tensor:
        """[N], differentiable, in logits; above 0 exactly where the goal is reached."""
        ...

    def reached(self, logits: Tensor, y: Tensor) -> Tensor:
        """[N] bool; never True where the model predicts nothing (see `predicts`)."""
        ...

    def predicted(self, logits: Tensor) -> Tensor:
        """[N] the class that the model's user takes."""
        ...


def predicts(logits: Tensor) -> Tensor:
    """[N] bool: no logit is NaN and the largest is finite; classes ruled out by -inf are fine."""
    return logits.amax(1).isfinite()


def _others_minus(logits: Tensor, label: Tensor) -> Tensor:
    """[N]: the best logit of any other class minus that of `label` [N]."""
    own = logits.gather(1, label[:, None])[:, 0]
    others = logits.scatter(1, label[:, None], float("-inf"))
    return others.amax(1) - own


def _agreeing(margin: Tensor, reached: Tensor, logits: Tensor) -> Tensor:
    """`margin` [N], above 0 exactly where `reached` [N] is True.

    The two part in ties, which argmax decides, and where the model predicts nothing.
    """
    import torch

    tie = (reached & (margin == 0)).to(margin.dtype)
    margin = margin + torch.finfo(margin.dtype).tiny * tie
    return torch.where(predicts(logits), margin, float("-inf"))


@dataclass(frozen=True)
class Untargeted:
    """Any class but y."""

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        from torch.nn.functional import cross_entropy

        return cross_entropy(logits, y, reduction="none")

    def margin(self, logits: Tensor, y: Tensor) -> Tensor:
        return _agreeing(_others_minus(logits, y), self.reached(logits, y), logits)

    def reached(self, logits: Tensor, y: Tensor) -> Tensor:
        return (logits.argmax(1) != y) & predicts(logits)

    def predicted(self, logits: Tensor) -> Tensor:
        return logits.argmax(1)


@dataclass(frozen=True)
class Targeted:
    """The class `label`, whatever y is; a sample whose y is `label` counts as reached already."""

    label: int

    def __post_init__(self) -> None:
        if self.label < 0:
            raise BadInput(f"label must be a class index of at least 0, got {self.label}")

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        from torch.nn.functional import cross_entropy

        return -cross_entropy(logits, y.new_full(y.shape, self.label), reduction="none")

    def margin(self, logits: Tensor, y: Tensor) -> Tensor:
        margin = -_others_minus(logits, y.new_full(y.shape, self.label))
        return _agreeing(margin, self.reached(logits, y), logits)

    def reached(self, logits: Tensor, y: Tensor) -> Tensor:
        return (logits.argmax(1) == self.label) & predicts(logits)

    def predicted(self, logits: Tensor) -> Tensor:
        return logits.argmax(1)


@dataclass(frozen=True)
class Strongest:
    """The largest loss of `goal`, which is never reached: an attack then does not stop at a success.

    What adversarial training needs, where a point just across the boundary is too weak.
    """

    goal: Goal

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        return self.goal.loss(logits, y)

    def margin(self, logits: Tensor, y: Tensor) -> Tensor:
        return self.goal.margin(logits, y)

    def reached(self, logits: Tensor, y: Tensor) -> Tensor:
        return self.goal.reached(logits, y) & False

    def predicted(self, logits: Tensor) -> Tensor:
        return self.goal.predicted(logits)


@dataclass(frozen=True, kw_only=True)
class Evades:
    """A sample of class `source` that is no longer flagged; every other sample is left alone.

    A two-class model flags where logit `source` exceeds the other by at least `threshold`: 0 is
    argmax, and `operating_threshold` finds the one of a false-positive rate. Fraud that passes as
    legitimate, a disease that is missed.
    """

    source: int = 1
    threshold: float = 0.0

    def __post_init__(self) -> None:
        if self.source not in (0, 1):
            raise BadInput(f"source must be class 0 or 1 of a two-class model, got {self.source}")

    def loss(self, logits: Tensor, y: Tensor) -> Tensor:
        from torch.nn.functional import softplus

        return -softplus(-self._below(logits))  # log of the probability of passing

    def margin(self, logits: Tensor, y: Tensor) -> Tensor:
        below = self._below(logits).where(y == self.source, float("-inf"))
        return _agreeing(below, self.reached(logits, y), logits)

    def reached(self, logits: Tensor, y: Tensor) -> Tensor:
        return (y == self.source) & (self._below(logits) > 0) & predicts(logits)

    def predicted(self, logits: Tensor) -> Tensor:
        passes = self._below(logits) > 0
        return passes.long() if self.source == 0 else (~passes).long()

    def _below(self, logits: Tensor) -> Tensor:
        if logits.shape[1] != 2:
            raise BadInput(f"Evades needs a model with 2 logits, got {logits.shape[1]}")
        return self.threshold - (logits[:, self.source] - logits[:, 1 - self.source])


def operating_threshold(logits: Tensor, rate: float, *, source: int = 1) -> float:
    """The threshold at which `rate` of these logits [N, 2] of the other class are flagged.

    At most: ties at the threshold are not flagged beyond it. `rate` is in [0, 1).
    """
    if not 0.0 <= rate < 1.0:
        raise BadInput(f"rate must be in [0, 1), got {rate}")
    if logits.ndim != 2 or logits.shape[1] != 2 or not len(logits):
        raise BadInput(f"expected logits [N, 2] of samples, got shape {tuple(logits.shape)}")
    import torch

    scores = (logits[:, source] - logits[:, 1 - source]).sort(descending=True).values
    allowed = scores[int(rate * len(scores))]  # the first score that must not be flagged
    return float(torch.nextafter(allowed, allowed.new_tensor(float("inf"))))
