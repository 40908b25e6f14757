"""What a module is given and returns while the model sees points that the attacker may reach."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.audit.case import Case, floats, quiet
from gradwarden.core.draws import Draws, seed_of
from gradwarden.core.protocols import Patch

KINDS = 3  # of points nearby


class StandIn(NamedTuple):
    """A patch that was made from what a module does, and how well it does the same."""

    patch: Patch
    fidelity: float  # at points nearby that it was not made from; see each stand-in
    queries: int  # samples that the model was asked for


class Pairs(NamedTuple):
    """What went into a module and what came out, row by row; one row a sample."""

    given: Tensor  # [M, ...]
    out: Tensor  # [M, ...]


def points(case: Case, number: int) -> Tensor:
    """Allowed points [N, ...] around case.x: in the ball, at its edge, or towards another sample.

    The last kind moves whole shapes, as attacks do, where noise moves each element by itself.
    """
    draws = Draws(case.seed, range(len(case.x)), "stand-in", number)
    kind = number % KINDS
    if kind == 0:
        return case.threat.sample(case.x, draws)
    if kind == 1:
        return case.threat.step(case.x, draws.normal(case.x), 1.0, case.x)
    other = case.x.roll(1 + number // KINDS, 0)
    return case.threat.project(other, case.x)


def seen(case: Case, path: str, x: Tensor, draw: int = 0) -> Pairs | None:
    """What the module at `path` is given and returns at x [N, ...], in draw number `draw`.

    None unless it takes one float tensor, returns one, and both have one row a sample.
    """
    found: list[Pairs | None] = []
    waiting: list[Tensor] = []

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        del module
        waiting[:] = [tensor.detach().clone() for tensor in floats((args, kwargs))]

    def after(module: nn.Module, args: Any, kwargs: Any, out: Any) -> None:
        del module, args, kwargs
        if not found:
            found.append(_pair(waiting, out, len(x)))

    module = case.modules[path]
    hooks = [
        module.register_forward_pre_hook(before, with_kwargs=True),
        module.register_forward_hook(after, with_kwargs=True),
    ]
    try:
        with quiet(x, seed_of(case.seed, "draw", draw)), torch.no_grad():
            case.model(x.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else None


def gathered(case: Case, path: str, copies: int, *, first: int = 0) -> Pairs | None:
    """`seen` at case.x (`first` of 0 alone) and at `copies` times N points nearby, as [M, ...]."""
    every = [case.x] if first == 0 else []
    every += [points(case, first + number) for number in range(copies)]
    found = [seen(case, path, x, first + draw) for draw, x in enumerate(every)]
    some = [pairs for pairs in found if pairs is not None]
    if len(some) < len(every):
        return None
    return Pairs(torch.cat([p.given for p in some]), torch.cat([p.out for p in some]))


def scale(case: Case, path: str, copies: int = KINDS) -> Tensor | None:
    """How far each element of the module's input moves at most, in root mean square; [...]."""
    there = seen(case, path, case.x)
    if there is None:
        return None
    moved = []
    for number in range(copies):
        other = seen(case, path, points(case, number))
        if other is None or other.given.shape != there.given.shape:
            return None
        moved.append(other.given - there.given)
    return torch.cat(moved).square().mean(0).sqrt()


def agreement(real: Tensor, told: Tensor) -> float:
    """R^2 of `told` [M, ...] for `real` [M, ...]: 1 is exact, 0 no better than each element's mean."""
    left = (real - told).double().square().sum()
    spread = (real - real.mean(0)).double().square().sum()
    return float(1 - left / spread) if spread > 0 else 0.0


def _pair(given: list[Tensor], out: Any, n: int) -> Pairs | None:
    alone = len(given) == 1 and isinstance(out, Tensor) and out.dtype.is_floating_point
    if not alone or given[0].ndim < 2 or out.ndim < 2 or not len(given[0]) == len(out) == n:
        return None
    return Pairs(given[0], out.detach().clone())
