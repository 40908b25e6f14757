"""What crosses rooms without an import: protocols that a user's own code may implement too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn


@runtime_checkable
class Surrogated(Protocol):
    """A module that names a differentiable stand-in for itself, for attackers and audits."""

    def surrogate(self) -> nn.Module:
        """Maps the same input to about the same output, and has a useful gradient."""
        ...


class Classifier(Protocol):
    """x [N, ...] -> logits [N, classes]; an `nn.Module` or any callable."""

    def __call__(self, x: Tensor, /) -> Tensor: ...
