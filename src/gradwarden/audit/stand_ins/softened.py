"""Hard operations in a module's own code, with a soft slope on the way back.

On top of `StraightThrough`: what that passes on with slope 1, or not at all, gets the slope of a
soft twin: comparisons, what is computed from their booleans, whole numbers taken from bins,
look-ups by them, and values beyond the ends of a clamp.

Source: Bengio et al. 2013, arXiv:1308.3432, sec. 4; Athalye et al. 2018, arXiv:1802.00420, sec. 4.1.
Differs: for single operations of a model that was not written for it; every value is its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradwarden.attack.bpda import attach, module_at
from gradwarden.attack.memory import out_of_memory
from gradwarden.attack.straight_through import StraightThrough
from gradwarden.audit.case import Case, quiet
from gradwarden.audit.stand_ins.near import scale
from gradwarden.audit.stand_ins.twins import TWINS, soft_any
from gradwarden.core.errors import BadInput


class _Mode(TorchFunctionMode):
    """While the module's own code runs; `depth` is above 0 inside its children."""

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width, self.depth = width, 0
        # By id, with the tensor itself, so that the id stays taken: the soft tensor that carries
        # the gradient of booleans and whole numbers.
        self.carriers: dict[int, tuple[Tensor, Tensor]] = {}
        self.touched = False

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        real = func(*args, **kwargs)
        if self.depth or not isinstance(real, Tensor) or not torch.is_grad_enabled():
            return real
        with torch._C.DisableTorchFunction():  # nor shall a mode below see what follows
            soft = self._twin(func, real, args, kwargs)
            if soft is None or not soft.requires_grad or soft.shape != real.shape:
                return real
            self.touched = True
            if real.dtype.is_floating_point:
                return attach(real, soft)
            self.carriers[id(real)] = real, attach(real.to(soft), soft)
            return real

    def _twin(self, func: Any, real: Tensor, args: tuple[Any, ...], kwargs: Any) -> Tensor | None:
        name = getattr(func, "__name__", "")
        if name.startswith("__"):
            name = name[2:-2]
        elif name.endswith("_"):
            return None  # in place: what it was computed from is gone
        given, named = self.soft(args), self.soft(kwargs)
        if name == "where" and func is Tensor.where:
            given = given[1], given[0], given[2]
        if name == "getitem" and isinstance(args[1], Tensor) and args[1].dtype == torch.bool:
            return None
        try:
            soft = TWINS[name](real, self.width, *given, **named) if name in TWINS else None
        except (RuntimeError, TypeError, IndexError):
            return None  # a form of the call that the twin does not know
        if soft is None and _differ(args, given):
            return soft_any(func, real, given, named)
        return soft

    def soft(self, value: Any) -> Any:
        """`value` with every tensor that has a carrier replaced by it."""
        if isinstance(value, Tensor):
            kept = self.carriers.get(id(value))
            return value if kept is None else kept[1]
        if isinstance(value, tuple | list) and not hasattr(value, "_fields"):
            return type(value)(map(self.soft, value))
        if isinstance(value, dict):
            return {key: self.soft(part) for key, part in value.items()}
        return value


def _differ(args: tuple[Any, ...], given: tuple[Any, ...]) -> bool:
    """Whether an argument, or a part of one, was replaced."""
    for one, two in zip(args, given, strict=True):
        if isinstance(one, tuple | list):
            if _differ(tuple(one), tuple(two)):
                return True
        elif one is not two:
            return True
    return False


class _Own:
    """The hooks around one module and its children."""

    def __init__(self, width: float) -> None:
        self.width = width
        self.modes: list[_Mode] = []
        self.stacks: list[ExitStack] = []
        self.touched = False

    def enter(self, module: nn.Module, args: Any) -> None:
        del module, args
        self.modes.append(_Mode(self.width))
        self.stacks.append(ExitStack())
        self.stacks[-1].enter_context(self.modes[-1])

    def leave(self, module: nn.Module, args: Any, out: Any) -> None:
        del module, args, out
        mode = self.modes.pop()
        self.stacks.pop().close()
        self.touched = self.touched or mode.touched

    def enter_child(self, module: nn.Module, args: Any) -> None:
        del module, args
        if self.modes:
            self.modes[-1].depth += 1

    def leave_child(self, module: nn.Module, args: Any, out: Any) -> None:
        del module, args, out
        if self.modes:
            self.modes[-1].depth -= 1


@dataclass(frozen=True)
class Softened:
    """The patch for the own code of the module at `path` ("" is the model), not its children's.

    `width`: over how much a step is spread, in units of the values that are compared.
    """

    path: str
    width: float

    def __post_init__(self) -> None:
        if not 0.0 < self.width < float("inf"):
            raise BadInput(f"width must be above 0, in units of what is compared, got {self.width}")

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        return _applied(model, self.path, _Own(self.width))


@contextmanager
def _applied(model: nn.Module, path: str, own: _Own) -> Iterator[None]:
    module = module_at(model, path)
    inner = [child for child in module.modules() if child is not module]
    pairs: list[tuple[nn.Module, Any, Any]] = [(module, own.enter, own.leave)]
    pairs += [(child, own.enter_child, own.leave_child) for child in inner]
    with ExitStack() as hooks:
        hooks.enter_context(StraightThrough(path).applied(model))
        for target, before, after in pairs:
            hooks.callback(target.register_forward_pre_hook(before).remove)
            # In front, so that modes end in the reverse order of their beginnings.
            handle = target.register_forward_hook(after, prepend=True, always_call=True)
            hooks.callback(handle.remove)
        yield


def softened(case: Case, path: str) -> Softened | None:
    """The patch with the attack's reach at the module as width; None where it has nothing to do.

    Tried on the case itself. For reach of several features of unlike scale, the root mean square.
    """
    reach = scale(case, path)
    width = _typical(case) if reach is None else float(reach.square().mean().sqrt())
    if not 0.0 < width < float("inf"):
        return None
    own = _Own(width)
    try:
        with _applied(case.model, path, own), quiet(case.x, case.seed), torch.enable_grad():
            case.model(case.x.clone().requires_grad_())
    except Exception as why:  # a wall behind it, which refuses a graph
        if out_of_memory(why):
            raise
    return Softened(path, width) if own.touched else None


def _typical(case: Case) -> float:
    """How far the attack moves an element of x."""
    return float(torch.as_tensor(case.threat.reach(case.x)).float().mean())
