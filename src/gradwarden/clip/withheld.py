"""Steps that a GradScaler withholds: it does not call the optimizer, so no hook sees them.

Source: torch.amp.GradScaler.step; only with an optimizer that is not fused, since a fused one is
called with a flag.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch


class Withheld:
    """Counts the calls of `scaler.step(optimizer)` that reached no step, and tells of each.

    `steps()` gives the steps that the optimizer took so far. Reads nothing from a device.
    """

    def __init__(
        self,
        scaler: torch.amp.GradScaler,
        optimizer: torch.optim.Optimizer,
        steps: Callable[[], int],
        tell: Callable[[], None],
    ) -> None:
        self.count = 0
        self._scaler = scaler
        inner = scaler.step

        def step(of: torch.optim.Optimizer, *args: Any, **kwargs: Any) -> Any:
            before = steps()
            out = inner(of, *args, **kwargs)
            if of is optimizer and steps() == before:
                self.count += 1
                tell()
            return out

        self._step = step
        scaler.step = step  # type: ignore[assignment, method-assign]

    def remove(self) -> None:
        """Gives the scaler its own method back, unless another has been put over this one."""
        if vars(self._scaler).get("step") is self._step:
            del self._scaler.step
