"""What the engine asks of a rule: from measured norms to thresholds. A rule never sees a gradient.

A rule is a frozen dataclass of options. Its state is a NamedTuple of tensors that the engine
holds, guards against values that are not finite, saves and restores.
"""

from __future__ import annotations

from dataclasses import MISSING, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    State = TypeVar("State", bound=tuple[Tensor, ...])
else:
    State = TypeVar("State")

Scope = Literal["total", "tensor", "unit", "element"]


class Needs(NamedTuple):
    """What a rule asks for beyond the norms of its scope; nothing else is measured."""

    p: float = 2.0  # order of the norm, above 0, inf included
    axis: int = 0  # that counts the units, in scope "unit"
    weights: bool = False
    loss: bool = False
    skips: bool = False  # a step above the threshold is not scaled down but skipped


class Measured(NamedTuple):
    """One step, as a rule sees it: finite, float32.

    `norms` has one entry for each thing that gets a threshold of its own, its shape is S:

    - scope "total": [], the norm of all gradients together
    - scope "tensor": [T], one norm a parameter
    - scope "unit": [U], one norm a row of each parameter, all parameters in sequence
    - scope "element": [T], the largest modulus in each parameter's gradient
    """

    norms: Tensor
    total: Tensor  # [], the norm of all gradients together, of the order that the rule needs
    weights: Tensor | None = None  # shape S, the same norms of the parameters themselves
    loss: Tensor | None = None  # [], NaN where the caller gave none


@runtime_checkable
class Rule(Protocol[State]):
    """Every tensor of a state ends in the dimensions S, so that each entry stands alone.

    The engine holds back the entries of parameters that have no gradient in a step.
    """

    @property
    def scope(self) -> Scope: ...
    @property
    def needs(self) -> Needs: ...
    def init(self, like: Tensor) -> State:
        """State before the first step; `like` has shape S, its dtype and device are to be used."""
        ...

    def step(self, seen: Measured, state: State) -> tuple[Tensor, State]:
        """Thresholds in units of the norm, of a shape that broadcasts to S, and the next state.

        What exceeds its threshold is scaled down to it; an infinite threshold leaves it alone.
        No branch on a value: on an accelerator that would wait for the device.
        """
        ...


def describe(options: Any) -> str:
    """`repr` of a dataclass as the call that makes it; options at their default are left out."""
    given = (
        f"{f.name}={getattr(options, f.name)!r}"
        for f in fields(options)
        if f.default is MISSING or getattr(options, f.name) != f.default
    )
    return f"{type(options).__name__}({', '.join(given)})"
