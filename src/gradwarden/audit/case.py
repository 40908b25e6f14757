"""What the diagnostics look at: a model on a few samples, and each of its modules by itself.

Every module is called again on the input that it was seen with, and its gradient is taken from
there, so that a fault is found where it is and not everywhere before it.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.attack.gradient import usable
from gradwarden.core.draws import seed_of
from gradwarden.core.threat import Threat

if TYPE_CHECKING:
    from gradwarden.audit.truth import Truth


class Call(NamedTuple):
    """One call of a module: copies of what went in and came out."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any

    @property
    def plain(self) -> tuple[Tensor, Tensor] | None:
        """The one float tensor in and the one out, where there is no more to it and shapes agree."""
        given = floats((self.args, self.kwargs))
        if len(given) != 1 or not isinstance(self.output, Tensor):
            return None
        return (given[0], self.output) if given[0].shape == self.output.shape else None


class Slope(NamedTuple):
    """How much of a module's gradient arrives at its input."""

    kind: str  # "none", "raises", "zero" (for some samples at least) or "nonzero"
    share: float  # of samples for which nothing usable arrives
    why: str = ""  # what was raised, where something was


@dataclass(frozen=True, eq=False, kw_only=True)
class Case:
    """`model` in eval mode on x [N, ...] and y [N]; modules under `covered` paths are left out."""

    model: nn.Module
    x: Tensor
    y: Tensor
    threat: Threat
    seed: int = 0
    covered: tuple[str, ...] = ()

    @cached_property
    def modules(self) -> dict[str, nn.Module]:
        return dict(self.model.named_modules())

    @cached_property
    def calls(self) -> dict[str, Call]:
        """The first call of every module, by dotted path."""
        found: dict[str, Call] = {}
        with ExitStack() as hooks, quiet(self.x, self.seed), torch.no_grad():
            for path, module in self.modules.items():
                if watchable(module) and not any(within(path, above) for above in self.covered):
                    for handle in _watch(path, module, found):
                        hooks.callback(handle.remove)
            whole = self.model(self.x.clone())
            found.setdefault("", Call((self.x.clone(),), {}, whole))  # compiled as a whole
        return {path: call for path, call in found.items() if call.output is not None}

    @cached_property
    def slopes(self) -> dict[str, Slope]:
        """By path, of every module with float tensors in and out."""
        every = {path: self.slope(path) for path in self.calls}
        return {path: slope for path, slope in every.items() if slope is not None}

    @cached_property
    def truths(self) -> dict[str, Truth]:
        """By path: the gradient held against what the module does."""
        from gradwarden.audit.truth import truths

        return truths(self)

    @cached_property
    def fine(self) -> Case | None:
        """The same case in float64, or None where the model cannot be copied or refuses it."""
        try:
            twin = copy.deepcopy(self.model).double()
            fine = replace(self, model=twin, x=self.x.double())
            return fine if fine.calls else None
        except Exception:  # noqa: BLE001 whatever a user's code raises
            return None

    @cached_property
    def edges(self) -> tuple[Case, ...]:
        """The same samples at the edge of the ball, in random directions."""
        from gradwarden.audit.truth import edges

        return edges(self)

    @cached_property
    def logits(self) -> Tensor:
        """[N, C] what the model answers."""
        with quiet(self.x, self.seed), torch.no_grad():
            answer: Tensor = self.model(self.x.clone())
            return answer

    @cached_property
    def steady(self) -> bool:
        """Whether the same input gets the same answer, but for rounding, from one call to the next."""
        with quiet(self.x, self.seed), torch.no_grad():
            some = [self.model(self.x.clone()) for _ in range(3)]
        size = some[0].abs().amax().clamp(min=1e-12)
        return all(bool((one - some[0]).abs().amax() <= 1e-4 * size) for one in some[1:])

    def slope(self, path: str) -> Slope | None:
        call = self.calls[path]
        if not floats((call.args, call.kwargs)) or not floats(call.output):
            return None
        with quiet(self.x, self.seed):
            slope = _slope(self.modules[path], call)
            return None if slope.kind == "raises" and not self._answers(path) else slope

    def _answers(self, path: str) -> bool:
        """Whether the module runs by itself at all: an error that it always raises says nothing."""
        try:
            self.again(path)
        except Exception:  # noqa: BLE001 it needs what was around it: autocast, a state
            return False
        return True

    def again(self, path: str, change: Callable[[Tensor], Tensor] = torch.clone) -> Any:
        """What the module returns for the input it was seen with, after `change` of its tensors."""
        call = self.calls[path]
        with torch.no_grad():
            module = self.modules[path]
            return module(*mapped(call.args, change), **mapped(call.kwargs, change))

    def depends(self, path: str) -> bool:
        """Whether the module's output depends on its input: a constant hides no gradient."""
        if len(self.x) == 1:
            return True
        try:
            with quiet(self.x, self.seed):
                other = floats(self.again(path, lambda t: t.roll(1, 0) if t.ndim else t.clone()))
        except Exception:  # noqa: BLE001 it refuses other inputs than its own
            return True
        same = floats(self.calls[path].output)
        return any(not torch.equal(one, two) for one, two in zip(same, other, strict=True))


def named(model: nn.Module, path: str) -> str:
    """The module at `path` as a sentence calls it."""
    kind = type(model.get_submodule(path) if path else model).__name__
    return f"module {path!r} ({kind})" if path else f"the model's own code ({kind})"


def watchable(module: nn.Module) -> bool:
    """Whether the module takes hooks; scripted ones do not."""
    try:
        module.register_forward_pre_hook(lambda *_: None).remove()
    except RuntimeError:
        return False
    return True


def within(path: str, above: str) -> bool:
    """Whether the module at `path` lies inside the one at `above`; none lies inside itself."""
    return path != above and (above == "" or path.startswith(above + "."))


def innermost(paths: list[str]) -> list[str]:
    """Those that hold no other."""
    return [path for path in paths if not any(within(other, path) for other in paths)]


@contextmanager
def quiet(x: Tensor, seed: int) -> Iterator[None]:
    """The global generators are seeded inside, and go on afterwards as if nothing had happened.

    Those of torch, NumPy and the standard library.
    """
    devices = [x.device] if x.device.type == "cuda" else []
    number, plain, legacy = seed_of(seed, "audit"), random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(number)
            random.seed(number)
            np.random.seed(number % 2**32)
            yield
    finally:
        random.setstate(plain)
        np.random.set_state(legacy)


def said(why: BaseException) -> str:
    """The first line of an error's text, and its kind."""
    text = str(why).strip().splitlines()
    return f"{type(why).__name__}: {text[0]}" if text else type(why).__name__


def floats(value: Any) -> list[Tensor]:
    """Every float tensor in nested tuples, lists and dicts, in order."""
    if isinstance(value, Tensor):
        return [value] if value.dtype.is_floating_point else []
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return [tensor for part in value for tensor in floats(part)]
    return []


def mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same nesting with `change` applied to every float tensor."""
    if isinstance(value, Tensor):
        return change(value) if value.dtype.is_floating_point else value
    if isinstance(value, dict):
        return {key: mapped(part, change) for key, part in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(mapped(part, change) for part in value))
    if isinstance(value, tuple | list):
        return type(value)(mapped(part, change) for part in value)
    return value


def _watch(path: str, module: nn.Module, found: dict[str, Call]) -> Iterator[Any]:
    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        del module
        if path not in found:  # copied before the module can write into them
            found[path] = Call(mapped(args, torch.clone), mapped(kwargs, torch.clone), None)

    def after(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        del module, args, kwargs
        if found[path].output is None:
            found[path] = found[path]._replace(output=mapped(output, torch.clone))

    yield module.register_forward_pre_hook(before, with_kwargs=True)
    yield module.register_forward_hook(after, with_kwargs=True)


def _slope(module: nn.Module, call: Call) -> Slope:
    leaves: list[Tensor] = []

    def leaf(tensor: Tensor) -> Tensor:
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1].clone()  # which the module may write into

    try:
        with torch.enable_grad():
            out = floats(module(*mapped(call.args, leaf), **mapped(call.kwargs, leaf)))
            seen = [(part * torch.randn_like(part)).sum() for part in out if part.requires_grad]
            if not seen:
                return Slope("none", 1.0)
            grads = torch.autograd.grad(
                sum(seen, torch.zeros_like(seen[0])), leaves, allow_unused=True
            )
    except torch.OutOfMemoryError:
        raise
    except Exception as why:  # noqa: BLE001 whatever a user's code raises when it is given a graph
        return Slope("raises", 1.0, said(why))
    return _judged([grad for grad in grads if grad is not None])


def _judged(grads: list[Tensor]) -> Slope:
    if not grads:
        return Slope("none", 1.0)
    rows = max(len(grad) if grad.ndim else 1 for grad in grads)
    arrives = [usable(grad).reshape(rows, -1).any(1) for grad in grads if grad.numel() % rows == 0]
    share = 1.0 - float(torch.stack(arrives).any(0).float().mean())
    return Slope("zero" if share else "nonzero", share)
