"""The real module on the way forward, a differentiable stand-in on the way back.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 4.1 (backward pass differentiable approximation).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Attack, Patch
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat


class _Attach(torch.autograd.Function):
    """`real` forward, bit for bit; the gradient goes to `soft`."""

    @staticmethod
    def forward(ctx: Any, real: Tensor, soft: Tensor) -> Tensor:
        del ctx, soft
        return real.clone()  # a view could not be written into by what follows

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        del ctx
        return None, grads[0]


def attach(real: Tensor, soft: Tensor) -> Tensor:
    """The values of `real`, the gradient of `soft`; both of one shape."""
    apply: Callable[[Tensor, Tensor], Tensor] = _Attach.apply
    return apply(real.detach(), soft.to(real.dtype))


Given = tuple[tuple[Any, ...], dict[str, Any]]  # positional and keyword arguments


class _Swap:
    """The two hooks of one module; inputs that carry a gradient wait between them."""

    def __init__(self, path: str, surrogate: nn.Module) -> None:
        self.path, self.surrogate = path, surrogate
        self.waiting: list[Given] = []

    def before(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Given:
        """Hands the module copies without a graph: some refuse one, others write into them."""
        del module
        self.waiting.append((args, kwargs))
        return tuple(map(_bare, args)), {name: _bare(value) for name, value in kwargs.items()}

    def after(
        self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], real: Any
    ) -> Tensor | None:
        del module, args, kwargs
        given, named = self.waiting.pop()
        if real is None or not any(map(_carries, (*given, *named.values()))):
            return None
        with torch.enable_grad():  # the module may be called inside a no_grad block
            soft = self.surrogate(*self._cast([*given, *named.values()]))
            if not isinstance(real, Tensor) or soft.shape != real.shape:
                got = tuple(real.shape) if isinstance(real, Tensor) else type(real).__name__
                raise BadInput(
                    f"the surrogate {self.surrogate!r} of module {self.path!r} returns "
                    f"{tuple(soft.shape)} where the module returns {got}: give one whose output "
                    "has the module's shape"
                )
            return attach(real, soft)

    def _cast(self, given: list[Any]) -> list[Any]:
        """In the surrogate's own precision: the model may have been copied to another."""
        own = next((p.dtype for p in self.surrogate.parameters() if p.is_floating_point()), None)
        if own is None:
            return given
        return [value.to(own) if _floats(value) else value for value in given]


def _floats(value: object) -> bool:
    return isinstance(value, Tensor) and value.is_floating_point()


def _carries(value: object) -> bool:
    return isinstance(value, Tensor) and value.requires_grad


def _bare(value: Any) -> Any:
    return value.detach().clone() if _carries(value) else value


@contextmanager
def patched(model: nn.Module, surrogates: Mapping[str, nn.Module | None]) -> Iterator[None]:
    """Within, the modules at these dotted paths send their gradient through the surrogates.

    None stands for the identity. Forward values stay bit-equal; every hook is gone afterwards,
    whatever happened. It works where the module runs without a graph inside (`no_grad`, NumPy,
    `detach`) and where its own backward is zero or wrong. Raises BadInput for an unknown path.
    """
    with ExitStack() as hooks:
        for path, surrogate in surrogates.items():
            swap = _Swap(path, nn.Identity() if surrogate is None else surrogate)
            module = module_at(model, path)
            before = module.register_forward_pre_hook(swap.before, with_kwargs=True)
            hooks.callback(before.remove)
            after = module.register_forward_hook(swap.after, with_kwargs=True, always_call=True)
            hooks.callback(after.remove)
        yield


def module_at(model: nn.Module, path: str) -> nn.Module:
    """The module at the dotted `path`; "" is the model itself."""
    try:
        compiled = isinstance(model, torch.jit.ScriptModule)  # which has only itself
        return model if compiled and not path else model.get_submodule(path)
    except AttributeError as why:
        raise BadInput(f"the model has no module at {path!r}: see model.named_modules()") from why


@dataclass(frozen=True)
class Surrogate:
    """The patch that `patched` applies at one module; None is the identity."""

    path: str
    module: nn.Module | None = None

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        return patched(model, {self.path: self.module})


@dataclass(frozen=True, kw_only=True)
class BPDA:
    """`attack`, run while `patches` give the model's hidden gradient back."""

    attack: Attack
    patches: tuple[Patch, ...]

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        """As `attack.run`; the model must be an `nn.Module`."""
        if not isinstance(model, nn.Module):
            raise BadInput(f"BPDA patches an nn.Module, got {type(model).__name__}")
        with ExitStack() as stack:
            for patch in self.patches:
                stack.enter_context(patch.applied(model))
            return self.attack.run(model, x, y, threat, seed=seed, ids=ids)
