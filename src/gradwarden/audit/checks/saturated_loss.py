"""A softmax so sure of itself that cross-entropy has no gradient left.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. IV (defensive distillation); Carlini et al.
2019, arXiv:1902.06705, sec. 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from gradwarden.attack.gradient import gradient_status
from gradwarden.audit.case import Case, quiet
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding

STRETCH = 2.0  # times, from which a module is what makes logits large


@dataclass(frozen=True, kw_only=True)
class SaturatedLoss:
    """Cross-entropy's gradient is exactly zero where the margin's is not, for over `share`."""

    share: float = 0.05
    cure: ClassVar[str] = "margin"
    seeks: ClassVar[str] = "module"

    def __post_init__(self) -> None:
        if not 0.0 <= self.share < 1.0:
            raise BadInput(f"share must be in [0, 1), got {self.share}")

    def check(self, case: Case) -> tuple[Finding, ...]:
        with quiet(case.x, case.seed):
            entropy, margin = (
                gradient_status(case.model, case.x, case.y, case.threat, loss=loss)
                for loss in ("cross-entropy", "margin")
            )
        lost = entropy.share_zero - margin.share_zero
        if lost <= self.share:
            return ()
        return (
            Finding(
                check="saturated-loss",
                module=_stretches(case),
                value=lost,
                threshold=self.share,
                share=lost,
                why="The softmax is saturated: cross-entropy's gradient is exactly zero where that "
                "of the logits is not.",
                remedy="An attack must climb the margin of the logits.",
            ),
        )


def _stretches(case: Case) -> str | None:
    """The module that does nothing but make the logits larger, if there is one."""
    for path, call in case.calls.items():
        pair = call.plain
        if not path or pair is None or not torch.equal(pair[1], case.logits):
            continue
        given, out = (tensor.double().flatten() for tensor in pair)
        size = given.norm() * out.norm()
        if bool((given @ out > 0.999 * size) & (out.norm() > STRETCH * given.norm())):
            return path
    return None
