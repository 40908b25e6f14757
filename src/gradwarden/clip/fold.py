"""Clipping inside a fused optimizer: its kernel divides by a scale and can leave the step out.

Fused Adam, AdamW, SGD and Adagrad read `grad_scale` and `found_inf` from the optimizer, a channel
made for GradScaler. The kernel divides each gradient by the one, writes it back, and does nothing
where the other is 1. So a step is clipped or skipped without a pass of our own and without anybody
waiting for the device.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_ABSENT: Any = object()


class Fold:
    """The two attributes of one optimizer: read, set for a step, and put back as they were."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._before: dict[str, Any] = {}
        self._ours: dict[str, Tensor | None] = {}

    @property
    def supported(self) -> bool:
        return bool(getattr(self._optimizer, "_step_supports_amp_scaling", False))

    @property
    def scale(self) -> Tensor | None:
        """What GradScaler multiplied the gradients by and leaves to the optimizer to divide."""
        return getattr(self._optimizer, "grad_scale", None) if self.supported else None

    @property
    def withheld(self) -> Any:
        """GradScaler's flag of an overflow, where it leaves the step to a fused kernel; or None."""
        return getattr(self._optimizer, "found_inf", None) if self.supported else None

    def begin_uninitialised(self) -> bool:
        """A step left out now would leave momentum buffers of SGD that were never written."""
        return isinstance(self._optimizer, torch.optim.SGD) and any(
            group["momentum"] != 0
            and any(
                p.grad is not None and self._optimizer.state[p].get("momentum_buffer") is None
                for p in group["params"]
            )
            for group in self._optimizer.param_groups
        )

    def clip(self, coefficient: Tensor | float, drop: Tensor | None = None) -> None:
        """For one step: gradients times `coefficient` [], nothing at all where `drop` [] bool."""
        scale = self.scale
        one = torch.ones((), device=None if scale is None else scale.device)
        by = (one if scale is None else scale) / coefficient
        # At exactly 0 and 1: the kernels test for equality with 1.
        found = getattr(self._optimizer, "found_inf", None)
        if drop is not None:
            flag = drop.float().to(by.device)
            found = flag if found is None else torch.maximum(flag, (found > 0).float())
        self._set(grad_scale=by.float(), found_inf=found)

    def unscaled(self) -> None:
        """For one step: the gradients were divided by the scale already."""
        self._set(grad_scale=None)

    def _set(self, **values: Tensor | None) -> None:
        for name, value in values.items():
            if name not in self._before:
                self._before[name] = self._optimizer.__dict__.get(name, _ABSENT)
            self._ours[name] = value
            setattr(self._optimizer, name, value)

    def restore(self) -> None:
        """Puts back what was there, unless somebody else has set it since: after a raised step."""
        for name, before in self._before.items():
            now = self._optimizer.__dict__.get(name, _ABSENT)
            if now is not self._ours[name]:
                continue
            if before is _ABSENT:
                delattr(self._optimizer, name)
            else:
                setattr(self._optimizer, name, before)
        self._before, self._ours = {}, {}
