"""Modules that take gradients of their own while they answer: an optimisation inside the forward.

Source: Samangouei et al. 2018, arXiv:1805.06605, and Tramer et al. 2020, arXiv:2002.08347
(purification by an inner search, and what it does to attacks).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from gradwarden.audit.case import Case, innermost, named, quiet, watchable
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class InnerGradient:
    """What that does to the gradient through the module, if anything, is another check's finding."""

    cure: ClassVar[str] = "not needed"
    seeks: ClassVar[str] = "module"

    def check(self, case: Case) -> tuple[Finding, ...]:
        with quiet(case.x, case.seed), _watched(case.model) as found:
            case.model(case.x.clone())
        return tuple(
            Finding(
                check="inner-gradient",
                module=path,
                value=float(found[path]),
                threshold=0.0,
                share=1.0,
                why=f"In {named(case.model, path)} gradients are taken {_times(found[path])} while it "
                "answers: it optimises something of its own.",
                remedy="Nothing by itself: see whether a gradient comes back through it.",
            )
            for path in innermost(list(found))
        )


class _Mode(TorchFunctionMode):
    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self.tell = tell

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        if getattr(func, "__name__", "") == "grad" and func is torch.autograd.grad:
            self.tell()
        return func(*args, **(kwargs or {}))


@contextmanager
def _watched(model: nn.Module) -> Iterator[dict[str, int]]:
    """Counts gradients taken by the innermost module that runs."""
    found: dict[str, int] = {}
    running: list[str] = []
    backward = torch.autograd.backward  # which Tensor.backward looks up and calls

    def tell() -> None:
        path = running[-1] if running else ""
        found[path] = found.get(path, 0) + 1

    def told(*args: Any, **kwargs: Any) -> None:
        tell()
        backward(*args, **kwargs)

    with ExitStack() as stack:
        for path, module in model.named_modules():
            if not watchable(module):
                continue
            enter = module.register_forward_pre_hook(lambda *_, path=path: running.append(path))
            stack.callback(enter.remove)
            leave = module.register_forward_hook(lambda *_: _left(running), always_call=True)
            stack.callback(leave.remove)
        stack.callback(setattr, torch.autograd, "backward", backward)
        setattr(torch.autograd, "backward", told)  # noqa: B010 put back with the hooks
        stack.enter_context(_kept(model))
        stack.enter_context(_Mode(tell))
        yield found


def _left(running: list[str]) -> None:
    running.pop()


@contextmanager
def _kept(model: nn.Module) -> Iterator[None]:
    """Gradients that an inner backward leaves on parameters are put back as they were."""
    before = [(p, p.grad if p.grad is None else p.grad.clone()) for p in model.parameters()]
    try:
        yield
    finally:
        for parameter, grad in before:
            parameter.grad = grad


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"
