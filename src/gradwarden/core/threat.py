"""The threat model as a value: what the attacker may do, and what counts as success.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 2 (goals, capabilities).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws
    from gradwarden.core.geometry import Ball


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


@dataclass(frozen=True, kw_only=True)
class Threat:
    """Perturbations inside `ball`, points inside `box` (lowest, highest value), success `goal`."""

    ball: Ball
    box: tuple[float, float] = (0.0, 1.0)
    goal: Goal = Untargeted()

    def __post_init__(self) -> None:
        if not self.box[0] < self.box[1]:
            raise BadInput(f"box must be (low, high) with low < high, got {self.box}")

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """x_adv [N, ...] -> allowed point near it; x [N, ...] lies in `box`, so the ball holds."""
        return (x + self.ball.project(x_adv - x)).clamp(*self.box)

    def sample(self, x: Tensor, draws: Draws) -> Tensor:
        """Random allowed points [N, ...] around x [N, ...]."""
        return (x + self.ball.sample(x, draws)).clamp(*self.box)

    def allows(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """[N] bool: finite, in the ball (1e-5 relative, plus rounding of x + delta), in the box."""
        import torch

        size = self.ball.size(x_adv.double() - x.double())
        slack = self.ball.radius * 1e-5 + torch.finfo(x.dtype).eps * self.ball.size(x.double())
        flat = x_adv.flatten(1)
        inside = (flat >= self.box[0]).all(1) & (flat <= self.box[1]).all(1)
        return (size <= self.ball.radius + slack) & inside & flat.isfinite().all(1)

    def check(self, x: Tensor, y: Tensor) -> None:
        """Raises BadInput where x [N, ...] or y [N] cannot be attacked as they are."""
        import torch

        if x.numel() == 0:
            raise BadInput(f"the data are empty: x has shape {tuple(x.shape)}")
        if x.ndim < 2:
            raise BadInput(f"x must be [N, ...], one sample a row, got shape {tuple(x.shape)}")
        if not x.dtype.is_floating_point:
            raise BadInput(f"x must be floating point in the box {self.box}, got {x.dtype}")
        if y.shape != (len(x),) or y.dtype != torch.int64:
            raise BadInput(
                f"y must be torch.int64 class indices of shape ({len(x)},), got {y.dtype} of shape "
                f"{tuple(y.shape)}"
            )
        if y.min() < 0:
            raise BadInput(
                f"y must be class indices of at least 0, got {int(y.min())} in sample "
                f"{int(y.argmin())}"
            )
        if not x.isfinite().all():
            bad = int((~x.flatten(1).isfinite().all(1)).nonzero()[0])
            raise BadInput(f"x holds NaN or infinite values, first in sample {bad}")
        low, high = float(x.min()), float(x.max())
        if low < self.box[0] or high > self.box[1]:
            raise BadInput(
                f"x lies in [{low:g}, {high:g}], outside the box [{self.box[0]:g}, "
                f"{self.box[1]:g}]: rescale x (normalise inside the model) or give its real box"
            )
