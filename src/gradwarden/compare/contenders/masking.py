"""Gradient masking: the masks that fit a task's inputs, or one by name.

Source: Papernot et al. 2017, arXiv:1602.02697, sec. 7 (the term).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from gradwarden.compare.contenders.contender import Protected, Protection
from gradwarden.mask.bit_depth import BitDepth
from gradwarden.mask.distillation import Distillation
from gradwarden.mask.jpeg import JPEG
from gradwarden.mask.logit_rounding import LogitRounding
from gradwarden.tasks.task import SecurityTask

if TYPE_CHECKING:
    from gradwarden.compare.defence import Mask


@dataclass(frozen=True, kw_only=True)
class Masking(Protection):
    """`mask` None: each that fits, on the input where it can be, on the answers always."""

    mask: Mask | Distillation | None = None

    name = "masking"
    what = "Hides a model's input gradient from attackers who would follow it."

    @property
    def title(self) -> str:
        return f"Gradient {self.noun}"

    @property
    def noun(self) -> str:
        return "masking" if self.mask is None else f"masking by {self.mask}"

    def defences(self, task: SecurityTask) -> tuple[Protected, ...]:
        chosen = masks(task) if self.mask is None else (_sized(self.mask, task),)
        return tuple(Protected(name_of(mask), (mask,)) for mask in chosen)


def _sized(mask: Mask | Distillation, task: SecurityTask) -> Mask | Distillation:
    """With the task's number of epochs."""
    if isinstance(mask, Distillation):
        return replace(mask, epochs=max(1, task.epochs))
    return mask


def name_of(mask: Mask | Distillation) -> str:
    """Its repr, without the number of epochs or the box, which are the task's."""
    if isinstance(mask, Distillation):
        return f"Distillation(temperature={mask.temperature})"
    return f"BitDepth(bits={mask.bits})" if isinstance(mask, BitDepth) else repr(mask)


def masks(task: SecurityTask) -> tuple[Mask | Distillation, ...]:
    """Those that fit: on the input where x are numbers of one box or images, on the answers always."""
    x, _ = task.held_out()
    low, high = task.threat.box
    always = (LogitRounding(), Distillation(temperature=20.0, epochs=max(1, task.epochs)))
    if task.threat.constraints is not None or not (
        isinstance(low, float | int) and isinstance(high, float | int) and math.isfinite(high - low)
    ):
        return always
    rounding = BitDepth(bits=3, box=(low, high))
    images = x.ndim == 4 and x.shape[1] in (1, 3) and (low, high) == (0.0, 1.0)
    return (rounding, JPEG(quality=50), *always) if images else (rounding, *always)
