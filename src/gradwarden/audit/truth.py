"""What autograd says of each module, held against what the module does, at two scales.

The same direction is followed by a step far below the attack's, where a derivative must be exact,
and by the attack's own, where it must at least be a guide.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1 (gradients that are non-existent or
incorrect). Differs: measured module by module, along the change itself, so that one number says
what share of it the gradient foresees.
"""

from __future__ import annotations

import copy
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
    fine = _fine(case)
    here = case if fine is None else fine
    share = ROUGH if fine is None else SMALL
    far = [_moved(here, number) for number in range(DIRECTIONS)]
    found = {path: _truth(here, path, far, share) for path in here.calls}
    return {path: truth for path, truth in found.items() if truth is not None}


def _fine(case: Case) -> Case | None:
    try:
        twin = copy.deepcopy(case.model).double()
        fine = replace(case, model=twin, x=case.x.double())
        return fine if fine.calls else None
    except (RuntimeError, TypeError, ValueError, AttributeError):
        return None  # what cannot be copied, or has a dtype of its own


def _moved(case: Case, number: int) -> Case:
    """The same case at the edge of the ball, in a random direction."""
    draws = Draws(case.seed, range(len(case.x)), "truth", number)
    there = case.threat.step(case.x, draws.normal(case.x), 1.0, case.x)
    return replace(case, x=there)


def _truth(case: Case, path: str, far: Sequence[Case], share: float) -> Truth | None:
    call = case.calls[path]
    if not _measurable(call, len(case.x)):
        return None
    small, share_, length = [], [], []
    try:
        with quiet(case.x, case.seed):
            for number, other in enumerate(far):
                whole = _step(case, path, call, other.calls[path], 1.0)
                part = _step(case, path, call, other.calls[path], share)
                share_.append(_ratio(whole))
                length.append(_length(case, path, whole, number) / whole.size)
                # Where the small step moves nothing, the large one's direction shows whether a
                # change is foreseen all the same.
                expected = _foreseen(case, path, part, whole.along)
                phantom = part.still & ~whole.still & (expected.abs() > 0.1 * share * whole.size)
                small.append(_ratio(part).masked_fill(phantom, float("inf")))
    except (RuntimeError, KeyError, IndexError, TypeError):
        return None  # it refuses the input by itself, a graph, or float64
    return Truth(*(torch.stack(parts).nanmedian(0).values for parts in (small, share_, length)))


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


class _Step(NamedTuple):
    """What a module does between two inputs."""

    start: Call
    end: Call
    along: Tensor  # [N, ...] the output's change, of length 1
    size: Tensor  # [N] its length
    still: Tensor  # [N] bool: no change but rounding
    foreseen: Tensor  # [N] the change along `along` that autograd foresees


def _step(case: Case, path: str, call: Call, there: Call, share: float) -> _Step:
    end = between(call, there, share)
    out = [_output(case, path, one) for one in (call, end)]
    change = (out[1] - out[0]).flatten(1)
    size = change.norm(dim=1)
    still = size <= STILL * out[0].flatten(1).norm(dim=1)
    along = (change / size.clamp(min=torch.finfo(size.dtype).tiny)[:, None]).view_as(out[0])
    step = _Step(call, end, along, size, still, size)
    return step._replace(foreseen=_foreseen(case, path, step, along))


def _ratio(step: _Step) -> Tensor:
    return (step.foreseen / step.size).masked_fill(step.still, float("nan"))


def _length(case: Case, path: str, step: _Step, number: int) -> Tensor:
    """[N] the length of the change foreseen, from its share along random directions."""
    draws = Draws(case.seed, range(len(case.x)), "truth", "length", number)
    told = [_foreseen(case, path, step, draws.normal(step.along)) for _ in range(PROBES)]
    return torch.stack(told).square().mean(0).sqrt()


def _foreseen(case: Case, path: str, step: _Step, along: Tensor) -> Tensor:
    """[N], by the mean of the gradients at both ends, so that a bend counts half."""
    ends = [_slope(case, path, at, step, along) for at in (step.start, step.end)]
    return 0.5 * (ends[0] + ends[1])


def _output(case: Case, path: str, call: Call) -> Tensor:
    module = case.model.get_submodule(path)
    with quiet(case.x, case.seed), torch.no_grad():
        args, kwargs = mapped(call.args, torch.clone), mapped(call.kwargs, torch.clone)
        return floats(module(*args, **kwargs))[0]


def _slope(case: Case, path: str, at: Call, step: _Step, along: Tensor) -> Tensor:
    """[N] the gradient of the output along `along`, taken at `at`, times the step."""
    leaves: list[Tensor] = []

    def leaf(tensor: Tensor) -> Tensor:
        leaves.append(tensor.detach().clone().requires_grad_())
        return leaves[-1].clone()  # which the module may write into

    slope = torch.zeros(len(along), dtype=along.dtype, device=along.device)
    with quiet(case.x, case.seed), torch.enable_grad():
        module = case.model.get_submodule(path)
        out = floats(module(*mapped(at.args, leaf), **mapped(at.kwargs, leaf)))[0]
        if not out.requires_grad:
            return slope
        grads = torch.autograd.grad((out * along).sum(), leaves, allow_unused=True)
    starts, ends = (floats((one.args, one.kwargs)) for one in (step.start, step.end))
    for grad, start, end in zip(grads, starts, ends, strict=True):
        if grad is not None:
            slope = slope + (usable(grad) * (end - start)).flatten(1).sum(1)
    return slope


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
        if case.slopes[path].share > 0.5:
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
