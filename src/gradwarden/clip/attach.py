"""The hook form: attached to an optimizer once, the training loop stays as it is.

A step that is to be skipped runs without gradients: the hook before it sets them to None, the hook
after it puts the same objects back. So parameters, optimizer state and step counts are left as
they were by every optimizer of torch.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gradwarden.clip.engine import Clipped, Engine, OnNonfinite, Rules
from gradwarden.clip.parameters import named
from gradwarden.clip.recorder import Recorder
from gradwarden.clip.rules.adaptive import Adaptive
from gradwarden.core.errors import BadInput

DEFAULT = Adaptive()


def attach(
    optimizer: torch.optim.Optimizer,
    rule: Rules = DEFAULT,
    *,
    model: nn.Module | None = None,
    on_nonfinite: OnNonfinite = "skip",
    max_skips: int | None = 100,
    record: str | Path | None = None,
) -> Guard:
    """From now on every `optimizer.step()` measures, guards and clips the gradients first.

    `model` gives the parameters their names in reports. `record` is a file that gets one line of
    JSON a step. See Clipper for `on_nonfinite` and `max_skips`. Raises BadInput.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise BadInput(f"expected a torch optimizer, got {type(optimizer).__name__}")
    for hook in optimizer._optimizer_step_pre_hooks.values():
        if isinstance(getattr(hook, "__self__", None), Guard):
            raise BadInput("this optimizer has a guard already: detach that one first")
    engine = Engine(named(_names(optimizer, model)), rule, on_nonfinite, max_skips)
    recorder = None if record is None else Recorder(record, repr(rule), engine.names)
    return Guard(optimizer, engine, recorder)


class Guard:
    """What `attach` returns: what the last step saw, state to save, and the way to take it off."""

    last: Clipped | None = None  # of the last step that had gradients

    def __init__(
        self, optimizer: torch.optim.Optimizer, engine: Engine, recorder: Recorder | None
    ) -> None:
        self._engine, self._recorder = engine, recorder
        self._held: list[tuple[Tensor, Tensor]] = []
        self._hooks = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]
        self._close = weakref.finalize(self, recorder.close) if recorder else None

    @property
    def rule(self) -> Rules:
        return self._engine.rule

    @property
    def steps(self) -> int:
        """Steps that had gradients, skipped ones included."""
        return self._engine.steps

    def detach(self) -> None:
        """Takes the hooks off and writes what is left of the record. May be called twice."""
        for hook in self._hooks:
            hook.remove()
        if self._close is not None:
            self._close()

    def state_dict(self) -> dict[str, Any]:
        return self._engine.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Raises BadInput if `saved` is of another version, rule or model; nothing is changed then."""
        self._engine.load_state_dict(saved)

    def _before(self, optimizer: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._held = []
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._clip()
            return None
        if "closure" in kwargs:
            return args, kwargs | {"closure": self._wrapped(closure)}
        return (args[0], self._wrapped(closure), *args[2:]), kwargs

    def _wrapped(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The gradients come to be inside a closure, so that is where they are clipped."""

        def clipped() -> Any:
            loss = closure()
            self._clip()
            return loss

        return clipped

    def _clip(self) -> None:
        decision = self._engine.decide()
        if decision is None:
            return
        self.last = decision.clipped
        if self._recorder is not None:
            self._recorder.add(self._engine.steps, decision.clipped)
        if self._engine.settle(decision):
            self._held = [(p, p.grad) for p in self._engine.params if p.grad is not None]
            for p, _ in self._held:
                p.grad = None

    def _after(self, optimizer: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        for p, grad in self._held:
            p.grad = grad
        self._held = []


def _names(optimizer: torch.optim.Optimizer, model: nn.Module | None) -> list[tuple[str, Tensor]]:
    """All parameters of the optimizer, under the names of the model where it has them."""
    known = {} if model is None else {id(p): name for name, p in model.named_parameters()}
    pairs = []
    for g, group in enumerate(optimizer.param_groups):
        own = group.get("param_names") or [None] * len(group["params"])
        for i, (p, name) in enumerate(zip(group["params"], own, strict=True)):
            pairs.append((known.get(id(p)) or name or f"group {g} parameter {i}", p))
    return pairs
