"""An optimizer with treatments on: what they change of a step, and what their clipping saw."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch

from gradwarden.clip.attach import Guard, attach
from gradwarden.clip.clipped import Clipped
from gradwarden.clip.clipper import Clipper
from gradwarden.clip.parameters import named, numbered
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare.contenders.contender import Treatment


class Seen(NamedTuple):
    """The last step; the norm is before any clipping, the coefficient that of all rules together."""

    norm: float
    threshold: float
    coefficient: float


class Watched:
    """What the rules saw; a rule after the first is given what the ones before it left."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self.before: dict[int, Clipped] = {}  # the last step of each rule before the guard's

    @property
    def last(self) -> Seen | None:
        """None where a gradient was not finite, and no step was taken."""
        last = self._guard.last
        if last is None or not bool(last.finite):
            return None
        first = next(iter(self.before.values()), last)
        coefficient = math.prod(float(c.coefficient) for c in (*self.before.values(), last))
        return Seen(float(first.norm), float(last.threshold), coefficient)


@contextmanager
def treated(
    optimizer: torch.optim.Optimizer,
    treatments: Sequence[Treatment],
    *,
    steps: int,
    warmup: int = 0,
) -> Iterator[Watched]:
    """Within, each step of `optimizer` is one under `treatments`; `warmup` steps are the task's own.

    Its parameters are those of a model as `Treatment.applied` left it. A step that is not finite is
    not taken.
    """
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group.update({k: v for one in treatments for k, v in one.options.items()})
    rules = [one.rule for one in treatments if one.rule is not None]
    step = 0

    def paced(*_: Any) -> None:
        nonlocal step
        share = min(1.0, (step + 1) / warmup) if warmup else 1.0
        share *= math.prod(one.share(step, steps) for one in treatments)
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["lr"] = rate * share
        step += 1

    hooks = [optimizer.register_step_pre_hook(paced)]
    params = named(numbered(p for group in optimizer.param_groups for p in group["params"]))
    clippers = [Clipper(params.items(), rule, on_nonfinite="keep") for rule in rules[:-1]]

    def clipped(*_: Any) -> None:
        for n, clipper in enumerate(clippers):
            watched.before[n] = clipper.step()

    if clippers:
        hooks.append(optimizer.register_step_pre_hook(clipped))
    # An infinite bound measures and never clips, so both arms are measured by the same code.
    last = rules[-1] if rules else MaxNorm(math.inf)
    guard = attach(optimizer, last, on_nonfinite="skip")
    watched = Watched(guard)
    try:
        yield watched
    finally:
        guard.detach()
        for hook in hooks:
            hook.remove()


def mean_share(treatments: Sequence[Treatment], steps: int) -> float:
    """Of the nominal rate, over the steps: what the treatments by themselves make of it."""
    shares = [math.prod(t.share(step, steps) for t in treatments) for step in range(steps)]
    return math.fsum(shares) / max(1, steps)
