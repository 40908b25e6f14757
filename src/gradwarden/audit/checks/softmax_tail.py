"""Models that answer with probabilities where logits were expected.

Source: Carlini & Wagner 2017, arXiv:1608.04644, sec. IV; foolbox issue 618 (an attack on logits
that is handed a softmax fails in silence).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from gradwarden.audit.case import Case, floats, innermost, named
from gradwarden.core.errors import BadInput
from gradwarden.core.records import Finding

LOGS = "which changes nothing but what rounding takes from sure answers"


@dataclass(frozen=True, kw_only=True)
class SoftmaxTail:
    """Every row is in [0, 1] and sums to 1, or is its logarithm, within `tolerance`.

    Logarithms hide nothing, as long as rounding leaves something of the other classes.
    """

    tolerance: float = 1e-4
    cure: ClassVar[str] = "strip"
    seeks: ClassVar[str] = "probability"

    def __post_init__(self) -> None:
        if not 0.0 < self.tolerance < 0.1:
            raise BadInput(f"tolerance must be in (0, 0.1), got {self.tolerance}")

    def check(self, case: Case) -> tuple[Finding, ...]:
        what = self._kind(case.logits)
        if what is None:
            return ()
        makers = [path for path in case.calls if self._makes(case, path)]
        where: list[str | None] = [*innermost(makers)] or [None]
        logs = what == "log-probabilities"
        told = LOGS if logs else "and loses most of its gradient"
        harmless = logs and bool((case.logits.amax(1) < 0).all())
        return tuple(
            Finding(
                check="softmax-tail",
                module=path,
                value=1.0,
                threshold=0.5,
                share=1.0,
                why=f"The answers are {what}, made in {named(case.model, path or '')}: a loss of "
                f"logits takes a second softmax of them, {told}.",
                remedy="Nothing: they may be attacked as logits."
                if harmless
                else "An attack must turn them back into logits.",
                cure="not needed" if harmless else self.cure,
            )
            for path in where
        )

    def _makes(self, case: Case, path: str) -> bool:
        """Whether the module's output is the answer, and its input is not yet one of the kind."""
        call = case.calls[path]
        out, given = floats(call.output), floats((call.args, call.kwargs))
        if len(out) != 1 or out[0].shape != case.logits.shape:
            return False
        same = bool((out[0] - case.logits).abs().max() <= self.tolerance)
        return same and not any(
            tensor.shape == out[0].shape and self._kind(tensor) is not None for tensor in given
        )

    def _kind(self, z: Tensor) -> str | None:
        """One-hot votes do not count: there is nothing to turn back."""
        if z.ndim != 2 or z.shape[1] < 2:
            return None
        z = z.double()
        near = (z.sum(1) - 1).abs().max() <= self.tolerance
        soft = ((z > 0) & (z < 1)).any()
        if bool(near & soft & (z.min() >= -self.tolerance) & (z.max() <= 1 + self.tolerance)):
            return "probabilities"
        if bool((z.logsumexp(1).abs().max() <= self.tolerance) & (z.max() <= self.tolerance)):
            return "log-probabilities"
        return None
