"""Where in a module's code the gradient ends: file and line of the torch call.

The module is called again on the input that it was seen with, and every torch call in it is held
against the tensors that come from that input: whether any gradient gets back across it.

Differs from a search of the source: nothing is parsed or rewritten, so functional code, lambdas and
a user's file loaded from a path are alike. Compiled code (`torch.jit`) shows no calls.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradwarden.attack.gradient import usable
from gradwarden.attack.straight_through import FLAT, LEAVES
from gradwarden.audit.case import Case, floats, mapped, quiet

ROOM = Path(__file__).parent
FOREIGN = tuple(  # folders whose code is not the user's: torch, this room and the attacks
    f"{folder}{os.sep}" for folder in (Path(torch.__file__).parent, ROOM, ROOM.with_name("attack"))
)


class Ending(NamedTuple):
    """A torch call across which the gradient is lost."""

    call: str  # "round"; "mul under no_grad"
    line: str  # "file.py:12" in the user's code; "" where none of it is on the stack
    module: str  # dotted path of the innermost module whose code it is
    share: float  # of samples for which nothing gets back across it
    soft: bool  # its output is a float tensor, which could have carried one


class Trace(NamedTuple):
    """One run of one module's code."""

    endings: tuple[Ending, ...]  # on the way to the output, in order
    draws: tuple[str, ...]  # lines of calls that took random numbers
    calls: tuple[tuple[str, str], ...]  # name and line of each that the input went through
    backward: str  # line of the first backward on the way that is not torch's; "" if none
    raised: str  # line that raised; "" if none


def trace(case: Case, path: str) -> Trace:
    """What the code of the module at `path` does to the gradient, its children's code included."""
    call = case.calls[path]
    mode = _Mode(case.model, path, len(case.x))
    module = case.modules[path]
    raised, out = "", None
    with quiet(case.x, case.seed), torch.enable_grad():
        args, kwargs = mapped(call.args, mode.leaf), mapped(call.kwargs, mode.leaf)
        try:
            with mode:
                out = module(*args, **kwargs)
        except Exception as why:  # noqa: BLE001 whatever a user's code raises: it says where
            raised = _raised(why)
    ends = mode.known(out)
    return Trace(
        tuple(ends), tuple(mode.draws), tuple(mode.calls), _own_backward(floats(out)), raised
    )


class _Mode(TorchFunctionMode):
    """Follows what comes from the leaves, and keeps by tensor the endings on its way."""

    def __init__(self, model: nn.Module, path: str, n: int) -> None:
        super().__init__()
        self.n, self.path = n, path
        self.paths = {id(module): name for name, module in model.named_modules()}
        # By id, with the tensor itself, so that the id stays taken.
        self.seen: dict[int, tuple[Tensor, list[Ending]]] = {}
        self.outside: list[Ending] = []  # of what left torch, and may come back
        self.draws: list[str] = []
        self.calls: list[tuple[str, str]] = []

    def leaf(self, tensor: Tensor) -> Tensor:
        leaf = tensor.detach().clone().requires_grad_().clone()  # the module may write into it
        self.seen[id(leaf)] = leaf, []
        return leaf

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs, name = kwargs or {}, _name(func)
        given = [t for t in _tensors((args, kwargs)) if self._comes(t)]
        alive = [t for t in given if t.requires_grad]
        before = torch.get_rng_state()
        if name in LEAVES and given:
            self.outside += self.known(args)
            self.outside += [self._ending(name, 1.0, soft=True)] if alive else []
            return func(*(a.detach() if isinstance(a, Tensor) else a for a in args), **kwargs)
        out = func(*args, **kwargs)
        if not torch.equal(before, torch.get_rng_state()):
            self.draws.append(_line()[0])
        results = list(_tensors(out))
        constant = name.endswith("_like") or name.startswith("new_")
        if given and results and not constant:
            self.calls.append((name, _line()[0]))
            self._follow(name, given, alive, results)
        return out

    def known(self, value: Any) -> list[Ending]:
        """The endings on the way to `value`, or of what left torch where none leads there."""
        ends = [end for t in _tensors(value) for end in self.seen.get(id(t), (t, []))[1]]
        return list(dict.fromkeys(ends)) or list(dict.fromkeys(self.outside))

    def _comes(self, tensor: Tensor) -> bool:
        if id(tensor) in self.seen:
            return True
        return tensor.requires_grad and not tensor.is_leaf and bool(self.outside)

    def _follow(
        self, name: str, given: list[Tensor], alive: list[Tensor], results: list[Tensor]
    ) -> None:
        ends = list(dict.fromkeys(e for t in given for e in self.seen.get(id(t), (t, []))[1]))
        for result in results:
            new = list(ends)
            written = any(result is t for t in given)
            flat = written and name.removesuffix("_") in FLAT
            share = 1.0 if flat else self._lost(result, alive, written) if alive else 0.0
            if share:
                new.append(self._ending(name, share, soft=result.dtype.is_floating_point))
            self.seen[id(result)] = result, new

    def _lost(self, result: Tensor, alive: Sequence[Tensor], written: bool) -> float:
        if not result.requires_grad:
            return 1.0
        if written or not torch.is_grad_enabled():
            return 0.0
        weight = torch.randn(result.shape, dtype=result.dtype, device=result.device)
        try:
            grads = torch.autograd.grad(
                result, list(alive), weight, retain_graph=True, allow_unused=True
            )
        except RuntimeError:  # what raises on the way back is looked for elsewhere
            return 0.0
        return self._share([usable(grad) != 0 for grad in grads if grad is not None])

    def _share(self, arrives: Sequence[Tensor]) -> float:
        """Of samples that nothing reaches; what has no row a sample counts for all of them."""
        reached = torch.zeros(self.n, dtype=torch.bool)
        for one in arrives:
            whole = one.ndim > 0 and len(one) == self.n
            reached |= (
                one.flatten(1).any(1) if whole and one.ndim > 1 else one if whole else one.any()
            ).cpu()
        return 1.0 - float(reached.float().mean())

    def _ending(self, name: str, share: float, soft: bool) -> Ending:
        line, module = _line()
        call = name if torch.is_grad_enabled() else f"{name} under no_grad"
        return Ending(call, line, self.paths.get(module, self.path), share, soft)


def _name(func: Any) -> str:
    name = str(getattr(func, "__name__", func))
    if name == "__get__":  # of a property: `tensor.data`
        name = str(getattr(getattr(func, "__self__", None), "__name__", name))
    return name


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from _tensors(part)
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _tensors(part)


def _line() -> tuple[str, int]:
    """The innermost line of the user's code on the stack, and the id of the module around it."""
    frame: FrameType | None = sys._getframe(1)
    line, module = "", 0
    while frame is not None and not (frame.f_code is trace.__code__):
        if not line and not foreign(frame.f_code.co_filename):
            line = f"{os.path.basename(frame.f_code.co_filename)}:{frame.f_lineno}"
        owner = frame.f_locals.get("self")
        if isinstance(owner, nn.Module):
            module = id(owner)
            if line:
                break
        frame = frame.f_back
    return line, module


def foreign(file: str) -> bool:
    """Whether the code in `file` is torch's or that of the audit and the attacks."""
    return file.startswith(FOREIGN)


def _raised(why: BaseException) -> str:
    line, step = "", why.__traceback__
    while step is not None:
        if not foreign(step.tb_frame.f_code.co_filename):
            line = f"{os.path.basename(step.tb_frame.f_code.co_filename)}:{step.tb_lineno}"
        step = step.tb_next
    return line


def _own_backward(outputs: Sequence[Tensor]) -> str:
    """The line of the first backward of a custom autograd Function on the way, from the output."""
    waiting = [t.grad_fn for t in outputs if t.grad_fn is not None]
    seen: set[Any] = set()
    while waiting:
        node = waiting.pop(0)
        if node in seen:
            continue
        seen.add(node)
        kind = getattr(node, "_forward_cls", None)
        code = getattr(getattr(kind, "backward", None), "__code__", None)
        if code is not None and not foreign(code.co_filename):
            return f"{os.path.basename(code.co_filename)}:{code.co_firstlineno}"
        waiting += [parent for parent, _ in node.next_functions if parent is not None]
    return ""
