"""The patches that undo every mask in a model which names its own surrogate."""

from __future__ import annotations

from torch import nn

from gradwarden.attack.bpda import Surrogate
from gradwarden.core.protocols import Surrogated


def surrogates(model: nn.Module) -> tuple[Surrogate, ...]:
    """One patch for each module with a `surrogate()`, for `attack.BPDA(patches=...)`."""
    return tuple(
        Surrogate(path, module.surrogate())
        for path, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, Surrogated)
    )
