"""A model's own softmax or sigmoid at its end, skipped on the way back.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. IV (a saturated softmax has no gradient left).
Differs: found in functional code too, and only where the model returns its output as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradwarden.attack.bpda import attach, module_at

SQUASHES = frozenset({"softmax", "log_softmax", "sigmoid", "logsigmoid", "softmin"})


class _Mode(TorchFunctionMode):
    """Keeps what went into the last squash, and what came out."""

    def __init__(self) -> None:
        super().__init__()
        self.last: tuple[Tensor, Tensor] | None = None

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        out = func(*args, **(kwargs or {}))
        name = getattr(func, "__name__", "").lstrip("_")
        if name in SQUASHES and args and isinstance(args[0], Tensor) and isinstance(out, Tensor):
            self.last = args[0], out
        return out


@dataclass(frozen=True)
class Unsquashed:
    """The patch for the module at `path` ("" is the model), whose output is a squash's."""

    path: str

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        return _applied(model, self.path)


@contextmanager
def _applied(model: nn.Module, path: str) -> Iterator[None]:
    module, open_ = module_at(model, path), list[tuple[_Mode, ExitStack]]()

    def before(module: nn.Module, args: Any) -> None:
        del module, args
        open_.append((_Mode(), ExitStack()))
        mode, stack = open_[-1]
        stack.enter_context(mode)

    def after(module: nn.Module, args: Any, out: Any) -> Any:
        del module, args
        mode, stack = open_.pop()
        stack.close()
        if mode.last is None or mode.last[1] is not out or not mode.last[0].requires_grad:
            return None
        return attach(out, mode.last[0])

    handles = [
        module.register_forward_pre_hook(before),
        module.register_forward_hook(after, always_call=True),
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
