"""What crosses rooms without an import: protocols that a user's own code may implement too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from torch import Tensor, nn

    from gradwarden.core.search import Attacked, Model
    from gradwarden.core.threat import Threat


@runtime_checkable
class Surrogated(Protocol):
    """A module that names a differentiable stand-in for itself, for attackers and audits."""

    def surrogate(self) -> nn.Module:
        """Maps the same input to about the same output, and has a useful gradient."""
        ...


class Classifier(Protocol):
    """x [N, ...] -> logits [N, classes]; an `nn.Module` or any callable."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


class Progress(Protocol):
    """Told how many of how many units of work are done; `total` may shrink as work falls away."""

    def __call__(self, done: int, total: int, /) -> object: ...


class Attack(Protocol):
    """A search for adversarial points: frozen options and one method; `repr` is the options."""

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
        """x [N, ...] inside `threat.box`, y [N], `ids` [N] (default 0 ... N-1) key the draws."""
        ...


class Patch(Protocol):
    """A way to give a model's hidden gradient back; `repr` says which."""

    def applied(self, model: nn.Module) -> AbstractContextManager[None]:
        """Within, every forward is bit-equal to the model's own; after, no trace is left."""
        ...
