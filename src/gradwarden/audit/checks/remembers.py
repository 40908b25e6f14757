"""Models that answer differently for what they were asked before.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4 (attack the model as it is deployed).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gradwarden.audit.case import Case, named, quiet
from gradwarden.audit.kept import kept
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class Remembers:
    """A forward in eval mode changes weights or buffers, and with them answers by over `tolerance`.

    Relative to the size of the logits. Counters and running averages that no answer rests on do not
    count; the state is put back.
    """

    tolerance: float = 1e-4
    cure: ClassVar[str] = "nothing"
    seeks: ClassVar[str] = "module"

    def __post_init__(self) -> None:
        if not self.tolerance > 0.0:
            raise BadInput(f"tolerance must be above 0, got {self.tolerance}")

    def check(self, case: Case) -> tuple[Finding, ...]:
        with kept(case.model) as before:
            first = _answer(case)
            changed = [name for name, old in before.items() if _differs(old, case.model, name)]
            if not changed:
                return ()
            second = _answer(case)
        off = (first - second).abs().flatten(1).amax(1) / first.abs().max().clamp(min=1e-12)
        share = float((off > self.tolerance).float().mean())
        if not share:
            return ()
        return tuple(
            Finding(
                check="remembers",
                module=path,
                value=float(off.max()),
                threshold=self.tolerance,
                share=share,
                why=f"In {named(case.model, path)} each question changes what the next one is answered.",
                remedy="Audit a model that puts its state back before each answer: here every success "
                "was judged after other questions.",
            )
            for path in dict.fromkeys(name.rpartition(".")[0] for name in changed)
        )


def _answer(case: Case) -> Tensor:
    with quiet(case.x, case.seed), torch.no_grad():
        logits: Tensor = case.model(case.x.clone())
    return logits


def _differs(old: Tensor, model: nn.Module, name: str) -> bool:
    new = {**dict(model.named_parameters()), **dict(model.named_buffers())}.get(name)
    return new is None or new.shape != old.shape or not torch.equal(new, old)
