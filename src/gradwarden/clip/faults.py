"""Finds the first module of a forward and backward pass that makes a value not finite.

Forward, every module's inputs and outputs are looked at as they come. Backward, so are the gradients
of these tensors and of the parameters, by hooks on tensors: hooks on modules would forbid operations
in place. Each module takes and gives views, so that the gradient that comes back through it is told
apart from that of others who hold the same tensor.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn

Phase = Literal["input", "forward", "loss", "backward"]


class Fault(NamedTuple):
    phase: Phase
    module: str | None  # dotted path, "" is the model itself; None: none of its modules
    why: str  # one sentence


class Faults:
    """Within, every module of `model` is watched; `first` is the first fault met."""

    def __init__(self, model: nn.Module, batch: object) -> None:
        self.first: Fault | None = None
        self._model, self._batch = model, batch
        self._stack: list[str] = []  # names of the modules whose forward is under way
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        for name, module in self._model.named_modules():
            self._hooks += [
                module.register_forward_pre_hook(self._before(name), with_kwargs=True),
                module.register_forward_hook(self._after(name), with_kwargs=True),
            ]
            for own, p in module.named_parameters(recurse=False):
                if p.requires_grad:
                    self._hooks.append(p.register_hook(self._gradient(name, f"its {own}")))
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def loss(self, value: Tensor) -> None:
        """What the loss function returned."""
        if self.first is not None or not nonfinite(value):
            return
        why = f"the loss is {value.item()}, though all that the modules put out is finite"
        if any(map(nonfinite, _tensors(self._batch))):
            why += "; a value of the batch is not, one that no module was given"
        self.first = Fault("loss", None, why)

    # Forward -------------------------------------------------------------------------------------

    def _before(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            caller = self._stack[-1] if self._stack else None
            self._stack.append(name)
            for t in _tensors((args, kwargs)):
                # Minus infinity is what masks are made of.
                if self.first is None and nonfinite(t, masks=True):
                    self.first = self._bad_input(caller, name, t)
            report = self._gradient(name, "its input")
            return _viewed((args, kwargs), report, {})

        return hook

    def _bad_input(self, caller: str | None, name: str, t: Tensor) -> Fault:
        if caller is not None:
            return Fault(
                "forward",
                caller,
                f"it computes {_census(t)} outside of its submodules, for {name}",
            )
        if any(nonfinite(x, masks=True) for x in _tensors(self._batch)):
            return Fault("input", None, f"the batch is not finite: the model is given {_census(t)}")
        return Fault("loss", None, f"the loss function computes {_census(t)} for the model")

    def _bad_output(
        self, caller: str | None, name: str, module: nn.Module, t: Tensor, given: object
    ) -> Fault:
        """Minus infinity that has a gradient and came in is its caller's, if it also comes out."""
        for x in _tensors(given):
            if x.requires_grad and nonfinite(x):
                return self._bad_input(caller, name, x)
        return Fault("forward", name, _about_output(module, t, given))

    def _after(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: object, kwargs: object, out: Any) -> Any:
            self._stack.pop()
            caller = self._stack[-1] if self._stack else None
            if isinstance(out, Tensor) and any(out is t for t in _tensors((args, kwargs))):
                out = out.view_as(out)  # of Identity, say: whose gradient would it be?
            for t in _tensors(out):
                if self.first is None and nonfinite(t):
                    self.first = self._bad_output(caller, name, module, t, (args, kwargs))
                if t.requires_grad:
                    t.register_hook(self._behind(name, caller))
            return _viewed(out, None, {})

        return hook

    # Backward ------------------------------------------------------------------------------------

    def _gradient(self, name: str, of: str) -> Callable[[Tensor], None]:
        """For a gradient that the module `name` computes."""

        def hook(grad: Tensor) -> None:
            if self.first is None and nonfinite(grad):
                why = f"the gradient of {of} holds {_census(grad)}, that of its output is finite"
                self.first = Fault("backward", name, why)

        return hook

    def _behind(self, name: str, caller: str | None) -> Callable[[Tensor], None]:
        """For the gradient of an output. Those who took it were asked before: it is none of them."""

        def hook(grad: Tensor) -> None:
            if self.first is not None or not nonfinite(grad):
                return
            if caller is None:
                why = f"the gradient that the loss function gives the model holds {_census(grad)}"
                self.first = Fault("loss", None, why)
                return
            why = (
                f"the gradient of what it computes outside of its submodules, from the output of "
                f"{name}, holds {_census(grad)}"
            )
            self.first = Fault("backward", caller, why)

        return hook


def _about_output(module: nn.Module, t: Tensor, given: object) -> str:
    why = f"its output holds {_census(t)}"
    bad = [n for n, p in module.named_parameters(recurse=False) if nonfinite(p)]
    if not module.training:  # in training, running statistics are written, not read
        bad += [n for n, b in module.named_buffers(recurse=False) if nonfinite(b)]
    if bad:
        return f"{why}: its {' and '.join(bad)} {'is' if len(bad) == 1 else 'are'} not finite"
    inputs = [t.detach() for t in _tensors(given) if t.is_floating_point() and t.numel()]
    if not inputs:
        return why
    low, high = min(float(x.min()) for x in inputs), max(float(x.max()) for x in inputs)
    return f"{why}, from inputs in [{low:.3g}, {high:.3g}]"


def _census(t: Tensor) -> str:
    """ "3 NaN and 1 infinite of 12 values"."""
    nan, inf = int(t.isnan().sum()), int(t.isinf().sum())
    said = " and ".join(f"{n} {word}" for n, word in ((nan, "NaN"), (inf, "infinite")) if n)
    return f"{said} of {t.numel()} values"


def nonfinite(t: Tensor, masks: bool = False) -> bool:
    if not (t.is_floating_point() or t.is_complex()) or t.layout is not torch.strided:
        return False
    bad = t.detach().isfinite().logical_not()
    if masks and not t.is_complex():
        bad &= t.detach() != -math.inf
    return bool(bad.any())


def _tensors(tree: object) -> Iterator[Tensor]:
    if isinstance(tree, Tensor):
        yield tree
    elif isinstance(tree, Mapping):
        for x in tree.values():
            yield from _tensors(x)
    elif isinstance(tree, tuple | list):
        for x in tree:
            yield from _tensors(x)


def _viewed(tree: Any, report: Callable[[Tensor], None] | None, views: dict[int, Tensor]) -> Any:
    """`tree` with views of what has a gradient, of which `report` is told; one a tensor."""
    if isinstance(tree, Tensor):
        if not tree.requires_grad or tree.layout is not torch.strided:
            return tree
        if id(tree) not in views:
            view = views[id(tree)] = tree.view_as(tree)
            if report is not None and view.requires_grad:
                view.register_hook(report)
        return views[id(tree)]
    if type(tree) is dict:
        return {k: _viewed(x, report, views) for k, x in tree.items()}
    if type(tree) in (tuple, list):  # others may be more than their items
        return type(tree)(_viewed(x, report, views) for x in tree)
    return tree
