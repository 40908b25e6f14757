"""Modules whose gradient is there, but too small for float32.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3 (exploding and vanishing gradients); Pintor et
al. 2022, arXiv:2106.09947, indicator 1.
Differs: module by module, and held against float64, so that small but exact gradients do not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gradwarden.attack.gradient import usable
from gradwarden.audit.case import Case, floats, innermost, mapped, named, quiet
from gradwarden.core.draws import Draws
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class VanishingGradient:
    """Over half of it is lost in the model's own precision, for over `share` of samples.

    Half of its length, or of the coordinates that it has in float64.
    """

    share: float = 0.1
    cure: ClassVar[str] = "double"
    seeks: ClassVar[str] = "module"

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0:
            raise BadInput(f"share must be in [0, 1), got {self.share}")

    def check(self, case: Case) -> tuple[Finding, ...]:
        fine = case.fine
        if fine is None:
            return ()
        lost = {path: self._lost(case, fine, path) for path in case.slopes if path in fine.calls}
        faulty = [path for path, share in lost.items() if share > self.share]
        return tuple(
            Finding(
                check="vanishing-gradient",
                module=path,
                value=lost[path],
                threshold=self.share,
                share=lost[path],
                why=f"In {named(case.model, path)} the gradient is so small that rounding takes it away.",
                remedy="An attack must take the gradient in float64.",
            )
            for path in innermost(faulty)
        )

    def _lost(self, case: Case, fine: Case, path: str) -> float:
        one, two = (_gradient(each, path, fine) for each in (case, fine))
        if one is None or two is None or one.shape != two.shape:
            return 0.0
        # Squares of the smallest would be zero.
        one, two = (g / two.abs().amax(1, keepdim=True).clamp(min=1e-300) for g in (one, two))
        shorter = one.norm(dim=1) < 0.5 * two.norm(dim=1)
        there = two != 0
        fewer = (there & (one == 0)).sum(1) > 0.5 * there.sum(1)
        return float(((shorter | fewer) & there.any(1)).float().mean())


def _gradient(case: Case, path: str, fine: Case) -> Tensor | None:
    """[N, ...] the gradient of a random direction of the output, the same in both precisions."""
    call, leaves = fine.calls[path], list[Tensor]()
    dtype = case.x.dtype

    def leaf(tensor: Tensor) -> Tensor:
        leaves.append(tensor.detach().to(dtype).requires_grad_())
        return leaves[-1].clone()

    try:
        with quiet(case.x, case.seed), torch.enable_grad():
            module = case.modules[path]
            out = floats(module(*mapped(call.args, leaf), **mapped(call.kwargs, leaf)))
            if len(out) != 1 or not out[0].requires_grad or len(out[0]) != len(case.x):
                return None
            way = Draws(case.seed, range(len(case.x)), "vanishing").normal(out[0].double())
            grads = torch.autograd.grad(out[0], leaves, way.to(out[0].dtype), allow_unused=True)
    except Exception:  # noqa: BLE001 it refuses a graph, float64, or the input by itself
        return None
    parts = [usable(g).double().flatten(1) for g in grads if g is not None and g.ndim]
    if not parts or any(len(part) != len(case.x) for part in parts):
        return None
    return torch.cat(parts, 1)
