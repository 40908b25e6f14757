"""The explicit form: one call between `backward` and `optimizer.step`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from gradwarden.clip.assign import Rules, assign
from gradwarden.clip.clipped import Clipped
from gradwarden.clip.engine import Engine, OnNonfinite
from gradwarden.clip.parameters import named, numbered
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.core.errors import BadInput


class Clipper:
    """Clips the gradients of `named_parameters` by `rule`, or by one for each name pattern.

    `on_nonfinite` says what happens where a gradient is NaN or infinite: "skip" sets all gradients
    to None, so that the optimizer does nothing, "zero" makes them zero (momentum and weight decay
    go on), "raise" raises NonFiniteGradient, "keep" leaves them. In no case does the step enter
    the rule's state. After `max_skips` such steps in a row NonFiniteGradient is raised.

    Synchronisation: none on an accelerator with "zero" and "keep"; one flag a step with "skip" and
    "raise".
    """

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, Tensor]],
        rule: Rules,
        *,
        on_nonfinite: OnNonfinite = "skip",
        max_skips: int | None = 100,
    ) -> None:
        self.rule = rule
        self._engine = Engine(assign(rule, named(named_parameters)), on_nonfinite, max_skips)
        self._probes = sorted(self._engine.params, key=Tensor.numel)[:8]
        self._left: list[tuple[Tensor, int]] = []  # their gradients after the last step, versions

    @property
    def states(self) -> list[Any]:
        """The state of each rule, a NamedTuple of tensors."""
        return [part.state for part in self._engine.parts]

    def step(self, loss: Tensor | float | None = None) -> Clipped:
        """Clip in place; `loss` is for rules that look at it.

        Raises BadInput where no parameter has a gradient, or none has changed since the last step.
        """
        self._check_fresh()
        decision = self._engine.decide(loss=None if loss is None else torch.as_tensor(loss).float())
        if decision is None:
            raise BadInput(
                "no parameter has a gradient: call step after backward, before zero_grad, once"
            )
        if self._engine.settle(decision):
            for param in self._engine.params:
                param.grad = None
        self._left = [(g, g._version) for p in self._probes if (g := p.grad) is not None]
        return decision.clipped

    def _check_fresh(self) -> None:
        """The smallest gradients are held on to, so that their identity says if they are the same."""
        now = [(g, g._version) for p in self._probes if (g := p.grad) is not None]
        if now and [(id(g), v) for g, v in now] == [(id(g), v) for g, v in self._left]:
            raise BadInput(
                "these gradients were clipped already: call step once between backward and "
                "optimizer.step, and zero_grad before the next backward"
            )

    def state_dict(self) -> dict[str, Any]:
        return self._engine.state_dict()

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Raises BadInput if `saved` is of another version, rule or model; nothing is changed then."""
        self._engine.load_state_dict(saved)


def clip_grad_norm_(
    parameters: Iterable[Tensor] | Tensor,
    max_norm: float,
    norm_type: float = 2.0,
    *,
    on_nonfinite: OnNonfinite = "skip",
) -> Tensor:
    """In place of `torch.nn.utils.clip_grad_norm_`: returns the norm [] float32 before clipping.

    Differs: sums in float32 at the least, counts a parameter that is listed twice once, refuses a
    `max_norm` that is not above 0 and a list without gradients, and one NaN does not reach the
    other parameters: by default all gradients are then None and the optimizer does nothing.
    """
    rule = MaxNorm(float(max_norm), p=float(norm_type))
    clipper = Clipper(
        named(numbered(parameters)).items(), rule, on_nonfinite=on_nonfinite, max_skips=None
    )
    return clipper.step().norm
