"""The forward pass differentiates: a defence that optimises as it answers.

Source: Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, and checks.py of its code.
Differs: nothing is traced and no count outlives the model; in theirs one such model flags every
later one, and the tracer ends a debugger's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch.overrides import TorchFunctionMode

from gradwarden.audit.case import quiet
from gradwarden.audit.indicators.indicator import Said, told
from gradwarden.audit.indicators.tried import Tried
from gradwarden.core.examination import Indicator

DIFFERENTIATES = (torch.autograd.grad, torch.autograd.backward, torch.Tensor.backward)


@dataclass(frozen=True, kw_only=True)
class InnerOptimisation:
    """One forward calls autograd more than `threshold` times."""

    threshold: float = 0.0
    name: ClassVar[str] = "inner optimisation"
    source: ClassVar[str] = "Croce & Hein 2020 (AutoAttack), arXiv:2003.01690, flag 5"

    def check(self, tried: Tried) -> Indicator:
        return told(self, tried, self._said)

    def _said(self, tried: Tried) -> Said:
        calls = _Calls()
        with quiet(tried.case.x, tried.case.seed), torch.no_grad(), calls:
            tried.problem.ask(tried.problem.x)
        says = f"One forward calls autograd {calls.count} times."
        return Said(float(calls.count), calls.count > self.threshold, says)


class _Calls(TorchFunctionMode):
    """Counts the calls that differentiate."""

    count = 0

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self.count += any(func is one for one in DIFFERENTIATES)
        return func(*args, **(kwargs or {}))
