"""Slopes of secants, as long as the attack's steps, for modules of few inputs.

For bins, look-ups, trees: flat or broken wherever a derivative could be taken, yet with a trend
from one side of a sample to the other. The module is asked again at every point that the attack
visits, so that the slopes are those of that point.

Source: Chen et al. 2017, arXiv:1708.03999, sec. 3.2 (symmetric differences, ZOO).
Differs: of one module instead of the whole loss; steps as long as the attack's, of several lengths.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import Surrogate
from gradwarden.audit.case import Case, floats, mapped
from gradwarden.audit.stand_ins.near import StandIn, agreement, points, scale, seen

FEATURES = 64  # at most: each costs two questions for every length, at every step of the attack
LENGTHS = (1.0, 0.5, 0.25)  # of secants, in units of how far the attack moves a feature
HELD_OUT = 3


class _Slopes(torch.autograd.Function):
    """Zeros of the output's shape; on the way back, the product with `slopes` [N, F, G]."""

    @staticmethod
    def forward(ctx: Any, given: Tensor, slopes: Tensor, like: Tensor) -> Tensor:
        ctx.save_for_backward(slopes)
        ctx.shape = given.shape
        return torch.zeros_like(like)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (slopes,) = ctx.saved_tensors
        back = torch.einsum("nfg,ng->nf", slopes, grads[0].flatten(1))
        return back.view(ctx.shape), None, None


class Secants(nn.Module):
    """`ask` as it is, with the mean slope of its secants around each row; rows are samples."""

    def __init__(self, ask: Callable[[Tensor], Tensor], reach: Tensor) -> None:
        super().__init__()
        self.ask = ask
        self.register_buffer("reach", reach)

    def forward(self, given: Tensor, *rest: object) -> Tensor:
        """given [N, F] -> [N, ...]; costs 1 + 2 F len(LENGTHS) questions a sample."""
        del rest
        with torch.no_grad():
            bare = given.detach()
            out, slopes = self.ask(bare.clone()), self.slopes(bare)
        apply: Callable[[Tensor, Tensor, Tensor], Tensor] = _Slopes.apply
        return out.detach() + apply(given, slopes, out)

    def slopes(self, given: Tensor) -> Tensor:
        """[N, F, G] in flattened outputs, 0 for features that the attack cannot move."""
        found: list[Tensor] = []
        for column, reach in enumerate(self.get_buffer("reach").flatten().tolist()):
            step = torch.zeros_like(given).view(len(given), -1)
            step[:, column] = reach
            step = step.view_as(given)
            found.append(self._slope(given, step, reach))
        return torch.stack(found, 1)

    def _slope(self, given: Tensor, step: Tensor, reach: float) -> Tensor:
        if reach == 0.0:
            return torch.zeros_like(self.ask(given.clone()).flatten(1))
        sides = [given + sign * share * step for share in LENGTHS for sign in (1, -1)]
        out = self.ask(torch.cat(sides)).flatten(1).view(len(LENGTHS), 2, len(given), -1)
        length = 2 * reach * given.new_tensor(LENGTHS).view(-1, 1, 1)
        return ((out[:, 0] - out[:, 1]) / length).mean(0)

    def __repr__(self) -> str:
        return "Secants()"


def linear(case: Case, path: str) -> StandIn | None:
    """The patch that gives the module at `path`, or the model for "", the slopes of its secants.

    For one float input of at most FEATURES elements a sample and one float output. Fidelity is R^2
    of what the slopes at the samples foresee for points nearby, of the change: below 0 where they
    mislead. A module that draws is asked in one draw for both ends.
    """
    there, reach = seen(case, path, case.x), scale(case, path)
    if there is None or reach is None or there.given[0].numel() > FEATURES:
        return None
    module = case.modules[path]
    call = case.calls[path]

    def ask(given: Tensor) -> Tensor:
        """Past the hooks of the module itself, to which this stand-in is hung."""
        args, kwargs = (mapped(part, lambda _: given) for part in call[:2])
        return floats(module.forward(*args, **kwargs))[0]

    secants = Secants(ask, reach)
    try:
        with torch.no_grad():
            slopes = secants.slopes(there.given)
    except (RuntimeError, ValueError, IndexError):
        return None  # it refuses points that are off its own grid
    real, told = [], []
    for number in range(HELD_OUT):
        other = seen(case, path, points(case, number))
        if other is None:
            return None
        real.append((other.out - there.out).flatten(1))
        moved = (other.given - there.given).flatten(1)
        told.append(torch.einsum("nfg,nf->ng", slopes, moved))
    questions = 1 + 2 * len(LENGTHS) * there.given[0].numel()
    fidelity = agreement(torch.cat(real), torch.cat(told))
    return StandIn(Surrogate(path, secants), fidelity, questions * len(case.x))
