"""A softer slope for an activation that saturates.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3.1 (vanishing gradients); Bengio et al. 2013,
arXiv:1308.3432, sec. 4 (straight-through).
Differs: the slope is a secant's, as long as the attack's steps, and never below a share of the
slope across all that the module was seen with.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.attack.bpda import Surrogate
from gradwarden.audit.case import Call, Case, floats, mapped, quiet
from gradwarden.audit.stand_ins.near import scale

LEAK = 0.1  # of the slope across all values seen, where the module's own is less


class _Map(NamedTuple):
    """What an elementwise module does to numbers, apart from saturation."""

    ask: Callable[[Tensor], Tensor]
    reach: float  # how far the attack moves an element, in root mean square
    least: float  # slope; signed, 0 for a map that rises and falls


class Softer(nn.Module):
    """The values of an elementwise module, the slope of its secants, and at least a leak."""

    def __init__(self, spec: _Map) -> None:
        super().__init__()
        self.spec = spec

    def forward(self, given: Tensor, *rest: object) -> Tensor:
        """given [N, ...] -> [N, ...]."""
        del rest
        spec, bare = self.spec, given.detach()
        with torch.no_grad():
            ends = [spec.ask(bare + side * spec.reach) for side in (1, -1)]
            slope = (ends[0] - ends[1]) / (2 * spec.reach)
            if spec.least > 0:
                slope = slope.clamp(min=spec.least)
            elif spec.least < 0:
                slope = slope.clamp(max=spec.least)
            out = spec.ask(bare.clone())
        return out + (given - bare) * slope

    def __repr__(self) -> str:
        return f"Softer(reach={self.spec.reach:.3g}, least={self.spec.least:.3g})"


def clean_slope(case: Case, path: str) -> Surrogate | None:
    """The patch for an elementwise module at `path`; None where elements do not go each its way.

    Found by asking: shuffled over all samples and places, its inputs must give its outputs,
    shuffled in the same way. What draws, normalises or compares elements fails that.
    """
    call = case.calls.get(path)
    pair = None if call is None else call.plain
    reach = scale(case, path)
    if call is None or pair is None or reach is None:
        return None
    ask = _asked(case, path, call)
    given, out = pair
    if not _elementwise(case, ask, given, out):
        return None
    length = float(reach.square().mean().sqrt())
    if length == 0.0:
        return None
    return Surrogate(path, Softer(_Map(ask, length, LEAK * _trend(given, out))))


def _asked(case: Case, path: str, call: Call) -> Callable[[Tensor], Tensor]:
    """Past the hooks of the module itself, to which the stand-in is hung."""
    module = case.modules[path]

    def ask(given: Tensor) -> Tensor:
        args, kwargs = (mapped(part, lambda _: given) for part in call[:2])
        return floats(module.forward(*args, **kwargs))[0]

    return ask


def _elementwise(case: Case, ask: Callable[[Tensor], Tensor], given: Tensor, out: Tensor) -> bool:
    if given.ndim < 2 or given.unique().numel() < 3:
        return False
    with quiet(case.x, case.seed), torch.no_grad():
        order = torch.randperm(given.numel()).to(given.device)
        try:
            shuffled = ask(given.flatten()[order].view_as(given))
        except RuntimeError:
            return False
    expected = out.flatten()[order].view_as(out)
    return bool(torch.isclose(shuffled, expected, rtol=1e-4, atol=1e-6, equal_nan=True).all())


def _trend(given: Tensor, out: Tensor) -> float:
    """The slope across all values seen; 0 unless the outputs rise, or fall, all along."""
    order = given.flatten().argsort()
    z, f = given.flatten()[order].double(), out.flatten()[order].double()
    total, way = float(f[-1] - f[0]), float(f.diff().abs().sum())
    across = float(z[-1] - z[0])
    if across <= 0 or way > (1 + 1e-6) * abs(total) + 1e-9:
        return 0.0
    return total / across
