"""Answers that depend on the other samples of the batch.

Source: Carlini et al. 2019, arXiv:1902.06705, sec. 4; foolbox issue 711 (batch norm in train mode).
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from gradwarden.audit.case import Case, floats, innermost, quiet
from gradwarden.core.records import Finding


@dataclass(frozen=True, kw_only=True)
class BatchCoupled:
    """Logits alone and in company differ by more than `tolerance` of their size.

    Not to be told for a stochastic model, whose answers differ anyway.
    """

    tolerance: float = 1e-3
    cure: ClassVar[str] = "nothing"
    seeks: ClassVar[str] = "module"

    def check(self, case: Case) -> tuple[Finding, ...]:
        if len(case.x) < 2 or not case.steady:
            return ()
        with quiet(case.x, case.seed), torch.no_grad():
            together, alone = case.model(case.x.clone()), _apart(case)
            if alone is None:
                return ()
            off = (together - alone).abs().amax(1) / together.abs().amax(1).clamp(min=1e-12)
            share = float((off > self.tolerance).float().mean())
            if not share:
                return ()
            coupled = [path for path in case.calls if self._coupled(case, path)]
        where: list[str | None] = [*innermost(coupled)] or [None]
        return tuple(
            Finding(
                check="batch-coupled",
                module=path,
                value=float(off.max()),
                threshold=self.tolerance,
                share=share,
                why="A sample's answer depends on the other samples of its batch"
                + (f", through module {path!r}." if path else "."),
                remedy="Every success was judged alone in its batch; attacks in batches see another "
                "model than the one that is used.",
            )
            for path in where
        )

    def _coupled(self, case: Case, path: str) -> bool:
        """The first sample alone against the first of the batch."""
        n = len(case.x)

        def first(tensor: Tensor) -> Tensor:
            return tensor[:1].clone() if tensor.ndim and len(tensor) == n else tensor.clone()

        try:
            single: Any = case.again(path, first)
        except Exception:  # noqa: BLE001 shapes that do not start with the batch
            return False
        pairs = zip(floats(case.calls[path].output), floats(single), strict=True)
        return any(
            len(all_) == n
            and one.shape == all_[:1].shape
            and bool((all_[:1] - one).abs().max() > self.tolerance * all_[:1].abs().max())
            for all_, one in pairs
            if all_.ndim and all_.numel()
        )


def _apart(case: Case) -> Tensor | None:
    """What each sample is answered alone, or with one other where a model refuses that."""
    for rows in (1, 2):
        with suppress(Exception):  # whatever a user's code raises
            return torch.cat([case.model(part.clone()) for part in case.x.split(rows)])
    return None
