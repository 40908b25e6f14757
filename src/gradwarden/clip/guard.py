"""The guard of an optimizer: hooks before and after its step.

A step that is to be skipped runs without gradients: the hook before it sets them to None, the hook
after it puts the same objects back. So parameters, optimizer state and step counts are left as
they were by every optimizer of torch. Where the step itself raises, the second hook does not run,
and the gradients of a skipped step stay None.
"""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gradwarden.clip.advice import Advice, advise
from gradwarden.clip.assign import Rules
from gradwarden.clip.clipped import Clipped
from gradwarden.clip.closure import Rollback
from gradwarden.clip.dumper import Dumper
from gradwarden.clip.engine import Decision, Engine
from gradwarden.clip.fold import Fold
from gradwarden.clip.part import Part
from gradwarden.clip.record import Event
from gradwarden.clip.recorder import Recorder
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.withheld import Withheld
from gradwarden.core.errors import BadInput

KEY = "gradwarden"  # in the optimizer's state_dict


class Guard:
    """What `attach` returns: what the last step saw, state to save, and the way to take it off."""

    last: Clipped | None = None  # of the last step that had gradients

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        rule: Rules,
        engine: Engine,
        recorder: Recorder | None,
        dumper: Dumper | None,
        scaler: torch.amp.GradScaler | None = None,
    ) -> None:
        self.rule = rule
        self._engine, self._recorder, self._dumper = engine, recorder, dumper
        self._fold, self._rollback = Fold(optimizer), Rollback(optimizer)
        self._optimizer, self._watched = optimizer, _count(optimizer)
        self._held: list[tuple[Tensor, Tensor]] = []
        self._loss: Tensor | None = None
        self._groups = {
            id(p): group
            for group in optimizer.param_groups
            if "max_norm" in group
            for p in group["params"]
        }
        self._hooks = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
            optimizer.register_state_dict_post_hook(self._saving),
            optimizer.register_load_state_dict_pre_hook(self._loading),
        ]
        self._scaler = (
            None if scaler is None else Withheld(scaler, optimizer, lambda: self.steps, self._tell)
        )
        self._close = weakref.finalize(self, recorder.close) if recorder else None

    @property
    def steps(self) -> int:
        """Steps that had gradients, skipped ones included."""
        return self._engine.steps

    @property
    def withheld(self) -> int:
        """Steps that the GradScaler given to `attach` did not let the optimizer take."""
        return 0 if self._scaler is None else self._scaler.count

    @property
    def syncs(self) -> bool:
        """Whether every step waits for an accelerator to answer one flag.

        "skip" does, and rules that skip, where no fused kernel can leave the step out; "raise" does,
        and `dump`.
        """
        policy = self._engine.on_nonfinite
        if self._engine.home.at_hand or policy == "raise" or self._dumper is not None:
            return not self._engine.home.at_hand
        drops = any(isinstance(p, Part) and p.rule.needs.skips for p in self._parts())
        return (policy == "skip" or drops) and not (policy == "skip" and self._foldable())

    def observe(self, loss: Tensor | float, batch: Any = None) -> None:
        """Tells the loss of the step to come, to rules that look at it and to the record.

        With `dump`, also what it was computed from, or the ids of that: tensors, arrays, numbers and
        texts in lists, tuples and mappings. They are kept until the step, uncopied. With gradient
        accumulation, once for each backward. The loss of a closure is seen without this.
        """
        value = loss.detach() if isinstance(loss, Tensor) else torch.tensor(float(loss))
        self._loss = value.float().to(self._engine.home.device)
        if self._dumper is not None:
            self._dumper.observe(loss, batch)

    def advise(self) -> Advice:
        """Threshold and learning-rate head-room from the last 2048 steps; needs `record`.

        Waits for the device. Raises BadInput where there is no record, or too short a one.
        """
        if self._recorder is None:
            raise BadInput("nothing was recorded: attach(..., record='run.jsonl')")
        return advise(self._recorder.record())

    def detach(self) -> None:
        """Takes the hooks off and writes what is left of the record. May be called twice.

        Warns where the optimizer never took a step: then nothing was guarded.
        """
        if self._hooks and not self.steps + self.withheld:
            warnings.warn(
                "this guard saw no step: gradients were not clipped; attach it to the optimizer "
                "whose step() the loop calls",
                stacklevel=2,
            )
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        if self._scaler is not None:
            self._scaler.remove()
        if self._dumper is not None:
            self._dumper.close()
        if self._close is not None:
            self._close()

    def state_dict(self) -> dict[str, Any]:
        return self._engine.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Raises BadInput if `saved` is of another version, rule or model; nothing is changed then."""
        self._engine.load_state_dict(saved)

    def _tell(self) -> None:
        """Of a step that the scaler withheld."""
        if self._recorder is not None:
            why = f"after step {self.steps} GradScaler found a gradient that is not finite"
            self._recorder.tell(Event(self.steps, "withheld", f"{why} and withheld the step"))

    # Hooks ---------------------------------------------------------------------------------------

    def _before(self, optimizer: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self._held = []
        self._fold.restore()  # of a step that raised
        if _count(self._optimizer) != self._watched:
            raise BadInput(
                "the optimizer was given parameters after the guard: detach it and attach another, "
                "which may load the state of the first"
            )
        closure = kwargs.get("closure", args[1] if len(args) > 1 else None)
        if closure is None:
            self._clip()
            return None
        self._rollback.begin()
        if "closure" in kwargs:
            return args, kwargs | {"closure": self._wrapped(closure)}
        return (args[0], self._wrapped(closure), *args[2:]), kwargs

    def _after(self, optimizer: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._fold.restore()
        if self._held:
            self._rollback.undo()
        self._rollback.end()
        for p, grad in self._held:
            p.grad = grad
        self._held = []

    # Where a compiled region calls the optimizer, the hooks run outside of it: they branch on values
    # and set attributes, which a trace would freeze. The mark is what torch.compiler.disable sets;
    # calling that would import the compiler, two seconds, for everybody.
    _before._torchdynamo_disable = True  # type: ignore[attr-defined]
    _after._torchdynamo_disable = True  # type: ignore[attr-defined]

    def _wrapped(self, closure: Callable[[], Any]) -> Callable[[], Any]:
        """The gradients come to be inside a closure, so that is where they are clipped.

        Once an evaluation is lost, so is the step. The optimizer then gets the loss of the last
        good evaluation, without a gradient, until it ends: a line search of torch dies of a NaN.
        """
        good: list[Any] = []

        def clipped() -> Any:
            if not self._held:
                loss = closure()
                if loss is not None:
                    self.observe(loss)
                self._clip(fold=False)
                if not self._held or not good:
                    good[:] = [loss]
            return good[0]

        return clipped

    def _clip(self, fold: bool = True) -> None:
        self._follow_groups()
        scale = self._fold.scale
        loss, self._loss = self._loss, None
        decision = self._engine.decide(scale, loss)
        if decision is None:
            return
        self.last = decision.clipped
        if self._recorder is not None:
            self._recorder.add(self._engine.steps, decision, loss)
        if self._dumper is not None:
            self._dumper.see(self._engine.steps, decision, scale, self._fold.withheld)
        if fold and self._foldable() and self._folded(decision):
            return
        if scale is not None and self._engine.unscale(decision, scale):
            self._fold.unscaled()
        if self._engine.settle(decision):
            self._held = [(p, p.grad) for p in self._engine.params if p.grad is not None]
            for p, _ in self._held:
                p.grad = None
        if self._recorder is not None:
            self._recorder.settled(decision)

    def _foldable(self) -> bool:
        """One coefficient for all, and a kernel that takes it."""
        parts = self._parts()
        return (
            self._fold.supported
            and len(parts) == 1
            and isinstance(parts[0], Part)
            and parts[0].rule.scope == "total"
        )

    def _folded(self, decision: Decision) -> bool:
        """Leaves clipping, and on an accelerator skipping, to the kernel where it can do that."""
        clipped = decision.clipped
        if self._engine.home.at_hand:
            if not clipped.finite or float(clipped.coefficient) in (0.0, 1.0):
                return False
            self._fold.clip(float(clipped.coefficient))
            return True
        if self._engine.on_nonfinite != "skip" or self._fold.begin_uninitialised():
            return False
        drop = clipped.finite.logical_not()
        if decision.drop is not None:
            drop = drop.logical_or(decision.drop)
        self._fold.clip(clipped.coefficient.masked_fill(drop, 1.0), drop)
        self._engine.watch(clipped)
        return True

    def _parts(self) -> list[Any]:
        return list(self._engine.parts)

    def _follow_groups(self) -> None:
        """Takes over what a parameter group says now."""
        if not self._groups:
            return
        for part in self._engine.parts:
            group = self._groups.get(id(part.params[0]))
            rule = part.rule
            if group is None or not isinstance(rule, MaxNorm):
                continue
            if group["max_norm"] != rule.max_norm:
                part.rule = replace(rule, max_norm=float(group["max_norm"]))

    def _saving(self, optimizer: object, state_dict: dict[str, Any]) -> dict[str, Any]:
        return state_dict | {KEY: self.state_dict()}

    def _loading(self, optimizer: object, state_dict: dict[str, Any]) -> None:
        """Before the optimizer loads its own, which takes no notice of our key."""
        if KEY in state_dict:
            self.load_state_dict(state_dict[KEY])
            return
        warnings.warn(
            "this optimizer checkpoint has no state of gradwarden.clip: the rule starts anew",
            stacklevel=4,
        )


def _count(optimizer: torch.optim.Optimizer) -> int:
    return sum(len(group["params"]) for group in optimizer.param_groups)
