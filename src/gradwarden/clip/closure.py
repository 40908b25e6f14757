"""Undoing a step of LBFGS, which moves the parameters between evaluations of its closure."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Rollback:
    """Keeps what a step of LBFGS changes; of other optimizers, which evaluate once, nothing."""

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._params: list[tuple[Tensor, Tensor]] = []
        self._state: dict[Any, dict[str, Any]] | None = None

    def begin(self) -> None:
        if isinstance(self._optimizer, torch.optim.LBFGS):
            groups = self._optimizer.param_groups
            self._params = [(p, p.detach().clone()) for g in groups for p in g["params"]]
            self._state = {p: _copied(held) for p, held in self._optimizer.state.items()}

    def undo(self) -> None:
        if self._state is None:
            return
        with torch.no_grad():
            for p, before in self._params:
                p.copy_(before)
        self._optimizer.state.clear()
        self._optimizer.state.update(self._state)

    def end(self) -> None:
        self._params, self._state = [], None


def _copied(held: dict[str, Any]) -> dict[str, Any]:
    """LBFGS adds to its lists of tensors, and writes over the tensors beside them."""
    return {
        name: value.clone()
        if isinstance(value, Tensor)
        else list(value)
        if isinstance(value, list)
        else value
        for name, value in held.items()
    }
