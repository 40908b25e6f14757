"""Modules whose output takes few values around a sample.

Source: Pintor et al. 2022, arXiv:2106.09947, indicator 2 (non-smooth output).
Differs: module by module, by counting what its output takes at points along a line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from gradwarden.audit.case import Case, floats, innermost, named, quiet
from gradwarden.audit.truth import between
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding

NEAR = 1e-3  # of the attack's step: how far the points lie from the sample at most


@dataclass(frozen=True, kw_only=True)
class Quantiser:
    """Among `points` next to a sample under `threshold` of the outputs differ, though at an attack's
    step they do. What that does to the gradient is another check's finding."""

    points: int = 4
    threshold: float = 0.5
    cure: ClassVar[str] = "not needed"
    seeks: ClassVar[str] = "ending"

    def __post_init__(self) -> None:
        if self.points < 2 or not 0.0 < self.threshold < 1.0:
            raise BadInput(
                f"points must be at least 2 and threshold in (0, 1), got {self.points} and "
                f"{self.threshold}"
            )

    def check(self, case: Case) -> tuple[Finding, ...]:
        if case.fine is None or not case.steady:
            return ()  # float32 rounds such steps itself
        there = case.fine.edges[0]
        seen = {path: self._seen(case.fine, there, path) for path in case.fine.calls}
        flat = {path: found for path, found in seen.items() if found and found[1] > 0.5}
        return tuple(
            Finding(
                check="quantiser",
                module=path,
                value=1 - flat[path][0],
                threshold=1 - self.threshold,
                share=flat[path][1],
                why=f"In {named(case.model, path)} the output takes few distinct values around a sample.",
                remedy="Nothing by itself: see what the gradient makes of it.",
            )
            for path in innermost(list(flat))
        )

    def _seen(self, case: Case, there: Case, path: str) -> tuple[float, float] | None:
        """Mean share of distinct outputs, and the share of samples that have too few of them."""
        call, n = case.calls[path], len(case.x)
        parts = (*floats((call.args, call.kwargs)), *floats(call.output))
        if len(floats(call.output)) != 1 or any(not t.ndim or len(t) != n for t in parts):
            return None
        steps = [NEAR * (1 + point) / self.points for point in range(self.points)]
        try:
            rows = torch.stack(
                [self._output(case, there, path, step).flatten(1) for step in (*steps, 1.0)]
            )
        except Exception:  # noqa: BLE001 it refuses the input by itself, or float64
            return None
        near, far = rows[:-1], rows[-1]
        moving = (far != near[0]).any(1)
        if not moving.any():
            return None
        new = 1 + (near[1:] != near[:-1]).any(2).sum(0)  # along a line, values follow one another
        distinct = new[moving].double() / self.points
        few = distinct < self.threshold
        return float(distinct.mean()), float(few.double().mean())

    def _output(self, case: Case, there: Case, path: str, step: float) -> torch.Tensor:
        call = between(case.calls[path], there.calls[path], step)
        with quiet(case.x, case.seed), torch.no_grad():
            module = case.modules[path]
            return floats(module(*call.args, **call.kwargs))[0].clone()
