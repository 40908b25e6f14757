"""APGD for tables: every point that is tried is repaired, and the penalty steers the way there.

Source: Simonetto et al. 2024, arXiv:2406.00775, sec. 3.
Differs: repair, penalty and what may change are the threat's (`core.tabular`), so that every attack
obeys them; inequalities are repaired as well as equalities; what an equality computes passes its
gradient on. This is APGD with the steps and the starts of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from gradwarden.attack.apgd import APGD
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat


@dataclass(frozen=True, kw_only=True)
class CAPGD:
    """APGD of `steps` steps from x, then from `restarts` - 1 random points; options as `APGD`."""

    steps: int = 10
    restarts: int = 2
    loss: str = "cross-entropy"
    rho: float = 0.75

    def __post_init__(self) -> None:
        _ = self._apgd

    @property
    def _apgd(self) -> APGD:
        return APGD(
            steps=self.steps, restarts=self.restarts, loss=self.loss, rho=self.rho, start="clean"
        )

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        """x [N, ...], y [N] -> best point per sample, which holds the threat's constraints."""
        return self._apgd.run(model, x, y, threat, seed=seed, ids=ids)
