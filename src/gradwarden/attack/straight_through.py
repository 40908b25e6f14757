"""Runs the own code of one module so that no operation in it loses the gradient.

For code that no module boundary encloses: a `no_grad` block, rounding, a comparison, `detach`, a
round trip through NumPy, in the middle of a forward. Values stay as they are; an operation that
autograd cannot pass, or only with zeros, passes the gradient of an input of its own shape on.

Source: Bengio et al. 2013, arXiv:1308.3432, sec. 4 (straight-through); Athalye et al. 2018,
arXiv:1802.00420, sec. 4.1.
Differs: applied to single operations of a model that was not written for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gradwarden.attack.bpda import attach, module_at

FLAT = frozenset({"round", "floor", "ceil", "trunc", "fix", "sign", "sgn", "heaviside"})
FLAT |= {"floor_divide", "__floordiv__", "__rfloordiv__"}  # derivative 0 wherever there is one
SAWTOOTH = frozenset({"remainder", "fmod", "frac", "__mod__"})  # x - x % s must not cancel
LEAVES = frozenset({"numpy", "__array__", "tolist", "item", "__float__"})  # out of torch


class _Mode(TorchFunctionMode):
    """While the module's own code runs; `depth` is above 0 inside its children."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0
        # By id, with the tensor itself, so that the id stays taken: the tensor that carries the
        # gradient for one that cannot (integers, inference mode).
        self.carriers: dict[int, tuple[Tensor, Tensor]] = {}
        self.outside: list[Tensor] = []  # left for NumPy, in order, not yet seen to come back

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if self.depth:
            return func(*args, **kwargs)
        if name == "_set_grad_enabled":
            return None  # a no_grad block has no effect; gradients were on when we began
        if name in LEAVES:
            self.outside += [c for a in args if (c := self.carrier(a)) is not None]
            return func(*_bare(args), **kwargs)
        if name == "__setitem__" or (name.endswith("_") and not name.endswith("__")):
            return self._in_place(func, name[:-1], args, kwargs)
        carriers = [c for a in _flat((args, kwargs)) if (c := self.carrier(a)) is not None]
        out = func(*self.carried(args), **self.carried(kwargs))
        if not carriers:
            return out
        if name in SAWTOOTH:
            return out.detach()
        flat = name in FLAT or bool(kwargs.get("rounding_mode"))
        if isinstance(out, Tensor) and not name.endswith("_like") and not name.startswith("new_"):
            return self._bind(out, carriers, flat)
        return out

    def carrier(self, value: Any) -> Tensor | None:
        """What carries the gradient of `value`: itself, or the tensor kept for it."""
        if not isinstance(value, Tensor):
            return None
        if value.requires_grad:
            return None if isinstance(value, nn.Parameter) else value
        if id(value) in self.carriers:
            return self.carriers[id(value)][1]
        return None if isinstance(value, nn.Parameter) else self._come_back(value)

    def _come_back(self, value: Tensor) -> Tensor | None:
        """The first of those outside that has the shape of `value`, or all of them stacked."""
        found = next((left for left in self.outside if left.shape == value.shape), None)
        if found is not None:
            self.outside = [left for left in self.outside if left is not found]
        elif self.outside and value.shape == (len(self.outside), *self.outside[0].shape):
            found, self.outside = torch.stack(self.outside), []
        if found is not None:
            self.carriers[id(value)] = value, found
        return found

    def carried(self, value: Any) -> Any:
        """`value` with every float tensor in it attached to its carrier."""
        if isinstance(value, tuple | list):
            return type(value)(map(self.carried, value))
        if isinstance(value, dict):
            return {key: self.carried(part) for key, part in value.items()}
        carrier = self.carrier(value)
        if carrier is None or carrier is value or not value.dtype.is_floating_point:
            return value
        return attach(value, carrier) if _recording() else value

    def _bind(self, out: Tensor, carriers: Sequence[Tensor], flat: bool) -> Tensor:
        """`out`, which carries a gradient if any of `carriers` fits its shape."""
        if out.requires_grad and not flat:
            return out
        fitting = _fitting(out, carriers)
        if fitting is None:
            return out
        if out.dtype.is_floating_point and _recording():
            return attach(out, fitting)
        self.carriers[id(out)] = out, fitting
        return out

    def _keep(self, target: Tensor, carriers: Sequence[Tensor]) -> None:
        fitting = _fitting(target, carriers)
        if fitting is not None:
            self.carriers[id(target)] = target, fitting

    def _in_place(self, func: Any, name: str, args: tuple[Any, ...], kwargs: Any) -> Any:
        target = args[0]
        if target.is_leaf and target.requires_grad:  # a weight that the model changes by itself
            with torch.no_grad():
                return func(*args, **kwargs)
        if name in FLAT and target.requires_grad:
            old = target.clone()
            new = getattr(old.detach(), name)(*_bare(args[1:]), **kwargs)
            return target.copy_(attach(new, old))
        carriers = [c for a in _flat((args, kwargs)) if (c := self.carrier(a)) is not None]
        out = func(target, *self.carried(args[1:]), **self.carried(kwargs))
        if not target.requires_grad and id(target) not in self.carriers:
            self._keep(target, carriers)
        return out


def _recording() -> bool:
    return torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


def _fitting(out: Tensor, carriers: Sequence[Tensor]) -> Tensor | None:
    """The first carrier of the shape of `out`, or else the first that can be broadcast to it."""
    for carrier in carriers:
        if carrier.shape == out.shape:
            return carrier
    for carrier in carriers:
        try:
            return carrier.broadcast_to(out.shape)
        except RuntimeError:
            continue
    return None


def _flat(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        for part in value:
            yield from _flat(part)
    else:
        yield value


def _bare(args: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(a.detach() if isinstance(a, Tensor) else a for a in args)


class _Own:
    """The hooks around one module and its children."""

    def __init__(self) -> None:
        self.modes: list[_Mode | None] = []
        self.stacks: list[ExitStack] = []

    def enter(self, module: nn.Module, args: Any, kwargs: Any) -> None:
        del module
        given = [v for v in _flat((args, kwargs)) if isinstance(v, Tensor) and v.requires_grad]
        mode = _Mode() if given and _recording() else None
        self.modes.append(mode)
        if mode is not None:
            self.stacks.append(ExitStack())
            self.stacks[-1].enter_context(mode)

    def leave(self, module: nn.Module, args: Any, kwargs: Any, out: Any) -> Any:
        del module
        mode = self.modes.pop()
        if mode is None:
            return None
        self.stacks.pop().close()
        if not isinstance(out, Tensor) or out.requires_grad:
            return None
        own = mode.carrier(out)
        given = [v for v in _flat((args, kwargs)) if isinstance(v, Tensor) and v.requires_grad]
        fitting = [c for c in (own, *given) if c is not None and c.shape == out.shape]
        return attach(out, fitting[0]) if fitting and out.dtype.is_floating_point else None

    def enter_child(self, module: nn.Module, args: Any, kwargs: Any) -> Any:
        del module
        mode = self.modes[-1] if self.modes else None
        if mode is None:
            return None
        mode.depth += 1  # before what follows, which is no code of the module
        return (mode.carried(args), mode.carried(kwargs)) if mode.depth == 1 else None

    def leave_child(self, module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        del module, args, kwargs, out
        if self.modes and self.modes[-1] is not None:
            self.modes[-1].depth -= 1


@dataclass(frozen=True)
class StraightThrough:
    """The patch for the own code of the module at `path` ("" is the model), not its children's."""

    path: str

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        return _applied(model, self.path)


@contextmanager
def _applied(model: nn.Module, path: str) -> Iterator[None]:
    module, own = module_at(model, path), _Own()
    inner = [child for child in module.modules() if child is not module]
    pairs = [(module, own.enter, own.leave)]
    pairs += [(child, own.enter_child, own.leave_child) for child in inner]
    with ExitStack() as hooks:
        for target, before, after in pairs:
            hooks.callback(target.register_forward_pre_hook(before, with_kwargs=True).remove)
            handle = target.register_forward_hook(after, with_kwargs=True, always_call=True)
            hooks.callback(handle.remove)
        yield
