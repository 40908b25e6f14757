"""Measure, ask the rules, apply: what `Clipper` and `attach` share, and the only place with state.

On the CPU a norm is at hand, so the engine branches on it and touches a gradient only to change
it. Reading a value of an accelerator would wait for its queue, so there the same arithmetic runs
unconditionally, and only the policies that must know read one flag.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from gradwarden.clip import apply
from gradwarden.clip.assign import Assignment, part_of
from gradwarden.clip.clipped import Clipped
from gradwarden.clip.parameters import home_of
from gradwarden.clip.part import Answer, Home, Measurement, Part
from gradwarden.clip.transform import TransformPart
from gradwarden.core.errors import BadInput, NonFiniteGradient

OnNonfinite = Literal["skip", "zero", "raise", "keep"]
VERSION = 1


class Decision(NamedTuple):
    """What is to be done to the gradients; nothing is done yet."""

    clipped: Clipped
    parts: list[tuple[Part | TransformPart, Measurement, Answer]]
    drop: Tensor | None  # [] bool, a rule says that the step is to be skipped


class Engine:
    """A step is `decide`, then `settle`."""

    def __init__(
        self,
        assigned: Sequence[Assignment],
        on_nonfinite: OnNonfinite = "skip",
        max_skips: int | None = 100,
    ) -> None:
        if on_nonfinite not in get_args(OnNonfinite):
            raise BadInput(
                f"on_nonfinite must be one of {get_args(OnNonfinite)}, got {on_nonfinite!r}"
            )
        if max_skips is not None and max_skips < 1:
            raise BadInput(f"max_skips must be at least 1 step, or None, got {max_skips}")
        self.on_nonfinite, self.max_skips = on_nonfinite, max_skips
        self.names = [name for _, held in assigned for name in held]
        self.params = [p for _, held in assigned for p in held.values()]
        self.home = Home(home_of(self.params))
        self.parts = [part_of(rule, held, self.home) for rule, held in assigned]
        self.steps = 0
        self.skips = torch.zeros((), dtype=torch.int64, device=self.home.device)  # in a row
        self._seen: tuple[Tensor, torch.cuda.Event] | None = None  # `skips` on its way to the host

    @torch.no_grad()
    def decide(self, scale: Tensor | None = None, loss: Tensor | None = None) -> Decision | None:
        """The rules' answer to the gradients that exist now; None where there are none.

        `scale` [] is what the loss, and so every gradient, was multiplied by; `loss` is for rules
        that ask for it.
        """
        pairs = [(part, part.measure(scale)) for part in self.parts]
        measured = [(part, m) for part, m in pairs if m is not None]
        if not measured:
            return None
        self.steps += 1
        norm = together([m for _, m in measured])
        finite = self._finite(norm)
        parts = [(part, m, part.answer(m, finite, loss)) for part, m in measured]
        threshold, coefficient = _least([answer for *_, answer in parts])
        drop = _any([answer.drop for *_, answer in parts])
        if drop is not None:
            coefficient = coefficient.masked_fill(drop, 0.0)
        if self.on_nonfinite in ("skip", "zero") and not (self.home.at_hand and finite):
            coefficient = coefficient.masked_fill(finite.logical_not(), 0.0)
        names = tuple((m.powers, part.named(m.found)) for part, m in measured)
        return Decision(Clipped(norm, threshold, coefficient, finite, names), parts, drop)

    def _finite(self, norm: Tensor) -> Tensor:
        """[] bool; counts the steps in a row that are not."""
        if self.home.at_hand:
            finite = math.isfinite(norm)
            self.skips = self.skips.new_zeros(()) if finite else self.skips + 1
            return torch.scalar_tensor(finite, dtype=torch.bool)
        found = norm < math.inf  # a norm is not negative; isfinite takes four kernels
        self.skips = (self.skips + 1).masked_fill(found, 0)
        return found

    @torch.no_grad()
    def settle(self, decision: Decision) -> bool:
        """Clips in place. True: the step is to be skipped, and the gradients were left alone.

        Raises NonFiniteGradient by policy "raise", or after `max_skips` such steps in a row.
        """
        finite = decision.clipped.finite
        asks = self.home.at_hand or self.on_nonfinite in ("skip", "raise")
        if asks and not finite:  # the one flag that an accelerator is asked for
            return self._nonfinite(decision)
        if decision.drop is not None and decision.drop:
            return True
        for part, m, answer in decision.parts:
            part.clip(m, answer, None if asks and self.on_nonfinite != "keep" else finite)
        if self.on_nonfinite == "zero" and not self.home.at_hand:
            self._wipe(decision)
            self.watch(decision.clipped)
        return False

    @torch.no_grad()
    def unscale(self, decision: Decision, scale: Tensor) -> bool:
        """Divides the gradients by `scale` [] where a part needs their values. True: it did."""
        if all(isinstance(p, Part) and p.rule.scope != "element" for p in self.parts):
            return False
        for _, m, _ in decision.parts:
            apply.scale([p for p in m.found.params if p.grad is not None], scale.reciprocal())
        return True

    def watch(self, last: Clipped) -> None:
        """`check`, where the count is on an accelerator: asked for now, looked at when it comes."""
        if self.max_skips is None or not self.skips.is_cuda:
            return
        if self._seen is not None and self._seen[1].query():
            many, self._seen = int(self._seen[0]), None
            if many >= self.max_skips:
                self.check(last)
        if self._seen is None and self.steps % min(self.max_skips, 64) == 0:
            host = torch.empty((), dtype=torch.int64, pin_memory=True)
            host.copy_(self.skips, non_blocking=True)
            self._seen = (host, torch.cuda.Event())
            self._seen[1].record()

    def _nonfinite(self, decision: Decision) -> bool:
        if self.on_nonfinite == "raise":
            raise NonFiniteGradient(f"step {self.steps}: {decision.clipped.blame}")
        if self.on_nonfinite == "keep":
            return False
        self.check(decision.clipped)
        if self.on_nonfinite == "zero":
            self._wipe(decision)
            return False
        return True

    def _wipe(self, decision: Decision) -> None:
        for _, m, _ in decision.parts:
            apply.wipe(m.found.params, decision.clipped.finite.logical_not())

    def check(self, last: Clipped) -> None:
        """Raises NonFiniteGradient after `max_skips` steps in a row; reads the count."""
        if self.max_skips is not None and int(self.skips) >= self.max_skips:
            raise NonFiniteGradient(
                f"step {self.steps}: {int(self.skips)} steps in a row had a gradient that is not "
                f"finite; in the last, {last.blame}"
            )

    def state_dict(self) -> dict[str, Any]:
        """Tensors, numbers and names only: `torch.load(weights_only=True)` reads it."""
        return {
            "version": VERSION,
            "parts": [part.state_dict() for part in self.parts],
            "steps": self.steps,
            "skips": int(self.skips),
        }

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Parameters may come in another order. Raises BadInput; nothing is changed then."""
        if saved.get("version") != VERSION:
            raise BadInput(f"saved state: expected version {VERSION}, got {saved.get('version')!r}")
        if len(saved["parts"]) != len(self.parts):
            raise BadInput(
                f"saved state: expected {len(self.parts)} rules, got {len(saved['parts'])}"
            )
        states = [part.loaded(of) for part, of in zip(self.parts, saved["parts"], strict=True)]
        for part, state in zip(self.parts, states, strict=True):
            part.state = state
        self.steps = int(saved["steps"])
        self.skips = torch.full_like(self.skips, int(saved["skips"]))


def together(parts: list[Measurement]) -> Tensor:
    """Norm of all gradients; of parts that measure in different orders, the largest norm."""
    if len(parts) == 1:
        return parts[0].total
    totals = torch.stack([m.total for m in parts])
    orders = {m.powers.p for m in parts}
    if len(orders) > 1 or orders == {math.inf}:
        return totals.amax()
    p = orders.pop()
    return (totals.double() ** p).sum().pow(1 / p).float()


def _least(answers: list[Answer]) -> tuple[Tensor, Tensor]:
    """Threshold and coefficient of what is scaled down most."""
    if len(answers) == 1:
        return answers[0].threshold, answers[0].coefficient
    coefficients = torch.stack([a.coefficient for a in answers])
    most = coefficients.argmin(0, keepdim=True)
    thresholds = torch.stack([a.threshold for a in answers])
    return thresholds.gather(0, most).squeeze(0), coefficients.gather(0, most).squeeze(0)


def _any(flags: list[Tensor | None]) -> Tensor | None:
    held = [f for f in flags if f is not None]
    return torch.stack(held).any() if held else None
