"""The threat model as a value: what the attacker may do, and what counts as success.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 2 (goals, capabilities).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from gradwarden.core.bounds import Bound, nested, tensor_of
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Goal, Untargeted

if TYPE_CHECKING:
    from torch import Tensor

    from gradwarden.core.draws import Draws
    from gradwarden.core.geometry import Ball


class Constraints(Protocol):
    """What must hold of a point beside ball and box, feature by feature or between features."""

    def ends(self, x: Tensor, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """The box's ends, narrowed to where each element of x [N, ...] may go; [N, ...] both."""
        ...

    def relax(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """x_adv [N, ...] with what follows from the rest computed; differentiable, types aside."""
        ...

    def repair(self, x_adv: Tensor, x: Tensor, threat: Threat) -> Tensor:
        """x_adv [N, ...] -> a point near it that holds, in ball and box of `threat`."""
        ...

    def penalty(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """[N], differentiable: 0 where every relation holds, larger the more they do not."""
        ...

    def hold(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """[N] bool."""
        ...

    def check(self, x: Tensor) -> None:
        """Raises BadInput where they do not hold of x [N, ...] itself."""
        ...


UNTARGETED = Untargeted()


@dataclass(frozen=True, kw_only=True)
class Threat:
    """Perturbations inside `ball`, points inside `box` (lowest, highest value), success `goal`.

    An end of `box` is a number, or numbers nested like a sample or broadcasting with it (tensors
    will do). `constraints` hold of every point that counts as success.
    """

    ball: Ball
    box: tuple[Bound, Bound] = (0.0, 1.0)
    goal: Goal = UNTARGETED
    constraints: Constraints | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", (nested(self.box[0]), nested(self.box[1])))
        if not _below(*self.box):
            raise BadInput(f"box must be (low, high) with low < high, got {self.box}")

    def ends(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The lowest and highest values allowed around x [N, ...]; they broadcast with it."""
        low, high = tensor_of(self.box[0], x), tensor_of(self.box[1], x)
        return (low, high) if self.constraints is None else self.constraints.ends(x, low, high)

    def project(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """x_adv [N, ...] -> allowed point near it; x [N, ...] lies in `box`, so the ball holds.

        Types and relations between features may still not hold: see `repair`.
        """
        near = self.nearest(x_adv, x)
        if self.constraints is None:
            return near
        return self.nearest(self.constraints.relax(near, x), x)

    def nearest(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """x_adv [N, ...] -> point of ball and box near it, whatever the constraints say of types."""
        low, high = self.ends(x)
        return (x + self.ball.project(x_adv - x, low - x, high - x)).clamp(low, high)

    def repair(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """x_adv [N, ...] -> the point near it that is tried: whole numbers, one category each."""
        return x_adv if self.constraints is None else self.constraints.repair(x_adv, x, self)

    def step(self, x_adv: Tensor, grad: Tensor, size: float | Tensor, x: Tensor) -> Tensor:
        """One ascent step of `size` (a share of the ball's reach; or one a sample) -> [N, ...].

        Elements that the box stops are left out of the direction.
        """
        low, high = self.ends(x)
        stopped = ((x_adv <= low) & (grad < 0)) | ((x_adv >= high) & (grad > 0))
        direction = self.ball.steepest(grad.masked_fill(stopped, 0.0))
        return self.project(x_adv + size * self.reach(x) * direction, x)

    def reach(self, x: Tensor) -> Tensor | float:
        """How far along the steepest direction a point moves at most; broadcasts with x."""
        low, high = self.ends(x)
        return self.ball.reach(high - low)

    def sample(self, x: Tensor, draws: Draws) -> Tensor:
        """Random allowed points [N, ...] around x [N, ...]."""
        low, high = self.ends(x)
        near = (x + self.ball.sample(x, draws, high - low)).clamp(low, high)
        return near if self.constraints is None else self.project(near, x)

    def allows(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """[N] bool: `near` x [N, ...], and the constraints hold."""
        return self.near(x_adv, x) & self.feasible(x_adv, x)

    def near(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """[N] bool: finite, in the ball (1e-5 relative, plus rounding of x + delta), in the box."""
        import torch

        size = self.ball.size(x_adv.double() - x.double())
        slack = self.ball.radius * 1e-5 + torch.finfo(x.dtype).eps * self.ball.size(x.double())
        low, high = self.ends(x)
        inside = ((x_adv >= low) & (x_adv <= high)).flatten(1).all(1)
        finite = x_adv.flatten(1).isfinite().all(1)
        return (size <= self.ball.radius + slack) & size.isfinite() & inside & finite

    def feasible(self, x_adv: Tensor, x: Tensor) -> Tensor:
        """[N] bool: the constraints hold."""
        if self.constraints is None:
            import torch

            return torch.ones(len(x), dtype=torch.bool, device=x.device)
        return self.constraints.hold(x_adv, x)

    def check(self, x: Tensor, y: Tensor) -> None:
        """Raises BadInput where x [N, ...] or y [N] cannot be attacked as they are."""
        import torch

        if x.numel() == 0:
            raise BadInput(f"the data are empty: x has shape {tuple(x.shape)}")
        if x.ndim < 2:
            raise BadInput(f"x must be [N, ...], one sample a row, got shape {tuple(x.shape)}")
        if not x.dtype.is_floating_point:
            raise BadInput(f"x must be floating point in the box {self._box}, got {x.dtype}")
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
        low, high = self.ends(x)
        outside = (x < low) | (x > high)
        if outside.any():
            raise BadInput(
                f"x lies in [{float(x.min()):g}, {float(x.max()):g}], outside the box {self._box}, "
                f"first in sample {int(outside.flatten(1).any(1).nonzero()[0])}: rescale x "
                "(normalise inside the model) or give its real box"
            )
        if self.constraints is not None:
            self.constraints.check(x)

    @property
    def _box(self) -> str:
        low, high = self.box
        if isinstance(low, tuple) or isinstance(high, tuple):
            return "of the threat"
        return f"[{low:g}, {high:g}]"


def _below(low: Bound, high: Bound) -> bool:
    """Whether every low end lies below its high end."""
    if isinstance(low, tuple) and isinstance(high, tuple):
        return len(low) == len(high) and all(map(_below, low, high))
    if isinstance(low, tuple):
        return all(_below(part, high) for part in low)
    if isinstance(high, tuple):
        return all(_below(low, part) for part in high)
    return low < high
