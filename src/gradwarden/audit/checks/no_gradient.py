"""Modules that autograd cannot pass.

Source: Athalye et al. 2018, arXiv:1802.00420, sec. 3 (shattered gradients); Pintor et al. 2022,
arXiv:2106.09947, indicator 1 (unavailable gradients).
Differs: module by module, found by calling each with an input that requires a gradient.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.case import Case, Slope, innermost, named
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class NoGradient:
    """The innermost modules with no path from output to input, or whose pass with one raises."""

    cure: ClassVar[str] = "patch"
    seeks: ClassVar[str] = "ending"

    def check(self, case: Case) -> tuple[Finding, ...]:
        faulty = [p for p, slope in case.slopes.items() if slope.share > 0.5 and case.depends(p)]
        found = []
        for path in innermost(faulty):
            kind = case.slopes[path].kind
            if kind in ("none", "raises"):
                found.append(_finding(path, named(case.model, path), case.slopes[path]))
        return tuple(found)


def _finding(path: str, where: str, slope: Slope) -> Finding:
    how = "autograd finds no path from its output back to its input"
    if slope.kind == "raises":
        how = f"it raises an error when its input carries a gradient ({slope.why})"
        if "numpy()" in slope.why:
            how = "it leaves PyTorch for NumPy, which keeps no gradient"
    return Finding(
        check="no-gradient",
        module=path,
        value=1.0,
        threshold=0.5,
        share=1.0,
        why=f"In {where} the gradient ends: {how}.",
        remedy="An attack must replace it on the way back (BPDA).",
    )
