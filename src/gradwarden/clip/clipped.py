"""What a clipping step saw and did, as a record that reads nothing by itself."""

from __future__ import annotations

import math
from typing import NamedTuple

from torch import Tensor

from gradwarden.clip.norm import Powers


class Clipped(NamedTuple):
    """What a step saw and did. Tensors stay on their device; reading one may wait for it."""

    norm: Tensor  # [] float32, of all gradients together, before clipping
    threshold: Tensor  # [] float32, of what was scaled down most; NaN in a step not finite
    coefficient: Tensor  # [] float32 in [0, 1], the smallest; 0 in a step that was dropped
    finite: Tensor  # [] bool
    parts: tuple[tuple[Powers, tuple[str, ...]], ...]  # norms of the parameters of each name

    @property
    def culprits(self) -> tuple[str, ...]:
        """Names of the parameters whose gradient is not finite."""
        if bool(self.finite):
            return ()
        return tuple(name for name, norm in self._norms() if not math.isfinite(norm))

    @property
    def worst(self) -> tuple[tuple[str, float], ...]:
        """The three parameters with the largest gradient norms, those not finite first."""
        return tuple(sorted(self._norms(), key=lambda x: (x[1] == x[1], -x[1]))[:3])

    @property
    def blame(self) -> str:
        """Half a sentence that names what was not finite."""
        names = self.culprits
        more = f" and {len(names) - 5} more" if len(names) > 5 else ""
        if not names:
            return f"the gradient norm is {float(self.norm)}"
        return f"the gradient is not finite in {', '.join(names[:5])}{more}"

    def _norms(self) -> list[tuple[str, float]]:
        return [
            pair
            for powers, names in self.parts
            for pair in zip(names, powers.tensors().float().tolist(), strict=True)
        ]
