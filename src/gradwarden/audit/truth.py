"""What autograd says of each module, held against what the module does, at two scales.

The same direction is followed by a step far below the attack's, where a derivative must be exact,
and by the attack's own, where it must at least be a guide.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1 (gradients that are non-existent or
incorrect). Differs: measured module by module, along the change itself, so that one number says
what share of it the gradient foresees.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.attack.gradient import usable
from gradwarden.audit.case import Call, Case, floats, innermost, mapped, named, quiet
from gradwarden.core.draws import Draws
from gradwarden.core.records import Finding

DIRECTIONS = 5
SMALL = 1e-5  # of the attack's step, in float64: next to nothing is rounded across
ROUGH = 1e-2  # ... where the model cannot be copied to float64
PROBES = 3  # random directions of the output that the length of a foreseen change is taken from
WRONG = 0.5
BLIND = 0.1  # of the real change's length
GUIDE = 0.3
STILL = 1e-9  # of a change in relation to the output's size: below it nothing moved

_Pulled = Sequence[Tensor | None]  # a gradient, one tensor an input
_Told = tuple[Tensor, _Pulled]  # with the direction of the output that it is of


class Truth(NamedTuple):
    """A foreseen change against the real one, the median of the directions; one row a sample.

    NaN where nothing moves.
    """

    small: Tensor  # [N] foreseen over real, along the real change of the smallest step: 1 is true
    share: Tensor  # [N] ... of the attack's own step
    length: Tensor  # [N] length of the change foreseen for the attack's step, over the real one's

    @property
    def moves(self) -> Tensor:
        """[N] bool: the attack's step changes the output."""
        return ~self.share.isnan()

    @property
    def wrong(self) -> Tensor:
        """[N] bool: no derivative, by the smallest step (infinite: foreseen, and none is there)."""
        return (self.small - 1).abs() > WRONG

    @property
    def guides(self) -> Tensor:
        """[N] bool: what is foreseen for the attack's step is about what it makes, on average."""
        slope = self.share / self.length.square()  # of the real change on the foreseen one
        return (self.length >= BLIND) & (slope > GUIDE) & (slope < 1 / GUIDE)


def truths(case: Case) -> dict[str, Truth]:
    """By path, of every module with one float output, one row a sample.

    On a copy in float64, or on the model as it is where there can be none.
    """
    here = case if case.fine is None else case.fine
    share = ROUGH if case.fine is None else SMALL
    found = {path: _truth(here, path, share) for path in here.calls}
    return {path: truth for path, truth in found.items() if truth is not None}


def edges(case: Case) -> tuple[Case, ...]:
    """The same case at the edge of the ball, in each of `DIRECTIONS` random directions."""
    return tuple(_moved(case, number) for number in range(DIRECTIONS))


def _moved(case: Case, number: int) -> Case:
    draws = Draws(case.seed, range(len(case.x)), "truth", number)
    there = case.threat.step(case.x, draws.normal(case.x), 1.0, case.x)
    return replace(case, x=there)


def _truth(case: Case, path: str, share: float) -> Truth | None:
    call = case.calls[path]
    if not _measurable(call, len(case.x)):
        return None
    try:
        start = _Place(case, path, call)
        draws = Draws(case.seed, range(len(case.x)), "truth", "length")
        probes = [draws.normal(start.output) for _ in range(DIRECTIONS)]
        told = [(probe, start.pull(probe)) for probe in probes] * 2
        rows = [
            _direction(case, path, start, edge.calls[path], share, told[number : number + PROBES])
            for number, edge in enumerate(case.edges)
        ]
    except Exception:  # noqa: BLE001 it refuses the input by itself, a graph, or float64
        return None
    return Truth(*(torch.stack(parts).nanmedian(0).values for parts in zip(*rows, strict=True)))


def _direction(
    case: Case, path: str, start: _Place, there: Call, share: float, told: Sequence[_Told]
) -> tuple[Tensor, Tensor, Tensor]:
    """The three figures of `Truth` for one direction."""
    whole = _Step(start, _Place(case, path, between(start.call, there, 1.0)))
    part = _Step(start, _Place(case, path, between(start.call, there, share)))
    small = part.ratio
    if bool((part.still & ~whole.still).any()):
        # Where the small step moves nothing, the large one's direction shows whether a change is
        # foreseen all the same.
        expected = part.foreseen(whole.along)
        phantom = part.still & ~whole.still & (expected.abs() > 0.1 * share * whole.size)
        small = small.masked_fill(phantom, float("inf"))
    foreseen = [whole.foreseen(probe, pulled) for probe, pulled in told]
    length = torch.stack(foreseen).square().mean(0).sqrt()
    return small, whole.ratio, length / whole.size


def _measurable(call: Call, n: int) -> bool:
    out = floats(call.output)
    given = floats((call.args, call.kwargs))
    return len(out) == 1 and len(given) > 0 and all(t.ndim and len(t) == n for t in (*out, *given))


def between(call: Call, other: Call, share: float) -> Call:
    """The inputs of `call`, moved by `share` of the way to those of `other`."""
    ends = iter(floats((other.args, other.kwargs)))

    def move(tensor: Tensor) -> Tensor:
        end = next(ends)
        return end.clone() if share == 1.0 else tensor + share * (end - tensor)

    return call._replace(args=mapped(call.args, move), kwargs=mapped(call.kwargs, move))


class _Place:
    """A module run once at one input, and its gradient there."""

    def __init__(self, case: Case, path: str, call: Call) -> None:
        self.call, self.leaves = call, list[Tensor]()
        module = case.modules[path]
        with quiet(case.x, case.seed), torch.enable_grad():
            args, kwargs = mapped(call.args, self._leaf), mapped(call.kwargs, self._leaf)
            self.graph = floats(module(*args, **kwargs))[0]
        self.output = self.graph.detach().clone()

    def _leaf(self, tensor: Tensor) -> Tensor:
        self.leaves.append(tensor.detach().clone().requires_grad_())
        return self.leaves[-1].clone()  # which the module may write into

    def pull(self, along: Tensor) -> _Pulled:
        """The gradient of the output along `along`; None where it ends."""
        if not self.graph.requires_grad:
            return [None for _ in self.leaves]
        return torch.autograd.grad(
            self.graph, self.leaves, along, retain_graph=True, allow_unused=True
        )


class _Step:
    """What a module does between two inputs."""

    def __init__(self, start: _Place, end: _Place) -> None:
        self.ends = start, end
        self.given = [to - at for at, to in zip(start.leaves, end.leaves, strict=True)]
        self.given = [step.detach() for step in self.given]
        change = (end.output - start.output).flatten(1)
        self.size = change.norm(dim=1)  # [N] length of the output's change
        self.still = self.size <= STILL * start.output.flatten(1).norm(dim=1)  # [N]: but rounding
        least = torch.finfo(self.size.dtype).tiny
        self.along = (change / self.size.clamp(min=least)[:, None]).view_as(end.output)

    def foreseen(self, along: Tensor, pulled: _Pulled | None = None) -> Tensor:
        """[N], by the mean of the gradients at both ends, so that a bend counts half.

        `pulled` is the one at the start, where it is known.
        """
        first, last = self.ends
        pulls = (first.pull(along) if pulled is None else pulled), last.pull(along)
        slope = torch.zeros_like(self.size)
        for pull in pulls:
            for grad, step in zip(pull, self.given, strict=True):
                if grad is not None:
                    slope = slope + (usable(grad) * step).flatten(1).sum(1)
        return 0.5 * slope

    @property
    def ratio(self) -> Tensor:
        """[N] the share of the output's change that autograd foresees along it."""
        ratio: Tensor = self.foreseen(self.along) / self.size
        return ratio.masked_fill(self.still, float("nan"))


class Fault(NamedTuple):
    """What a check calls what it finds; `why` and `remedy` may name the place as {where}."""

    check: str
    threshold: float
    why: str
    remedy: str


def findings(
    case: Case, fault: Fault, off: Callable[[Truth], tuple[Tensor, Tensor]]
) -> tuple[Finding, ...]:
    """One finding for each innermost module at fault for over half of its samples that move.

    `off` gives the value [N] of each sample and whether [N] it counts. Modules that pass no
    gradient at all are left to the checks for that.
    """
    found: dict[str, tuple[float, float]] = {}
    for path, truth in case.truths.items():
        slope = case.slopes.get(path)
        if slope is None or slope.share > 0.5:
            continue
        value, counts = off(truth)
        moving = truth.moves
        share = float(counts[moving].float().mean()) if moving.any() else 0.0
        if share > 0.5:
            found[path] = float(value[counts].median()), share
    return tuple(
        Finding(
            check=fault.check,
            module=path,
            value=found[path][0],
            threshold=fault.threshold,
            share=found[path][1],
            why=fault.why.format(where=named(case.model, path)),
            remedy=fault.remedy,
        )
        for path in innermost(list(found))
    )
