"""Modules left in train mode inside a model in eval mode.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4 (attack the model as it is deployed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gradwarden.audit.case import Case, innermost
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class TrainMode:
    """What it does to the answers, if anything, is another check's finding."""

    cure: ClassVar[str] = "not needed"
    seeks: ClassVar[str] = "module"

    def check(self, case: Case) -> tuple[Finding, ...]:
        # Frozen compiled code has no mode.
        left = [path for path, module in case.modules.items() if getattr(module, "training", False)]
        return tuple(
            Finding(
                check="train-mode",
                module=path,
                value=1.0,
                threshold=0.0,
                share=1.0,
                why=f"Module {path!r} is in train mode, the model around it is not.",
                remedy="Call model.eval() unless the model is used like this.",
            )
            for path in innermost(left)
        )
