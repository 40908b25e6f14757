"""Numbers that hold for every feature, or one for each: floats, nested like a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from gradwarden.core.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

Bound: TypeAlias = "float | tuple[Bound, ...]"


def nested(value: Any) -> Bound:
    """Floats in nested tuples, from such, from lists, or from a tensor or array."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, tuple | list):
        return tuple(map(nested, value))
    return float(value)


def tensor_of(bound: Bound, like: Tensor) -> Tensor:
    """With the dtype and device of `like` [N, ...]; broadcasts with it, or BadInput."""
    import torch

    found = torch.tensor(bound, dtype=like.dtype, device=like.device)
    if found.ndim and like.ndim > 1 and not _fits(found, like):
        raise BadInput(
            f"bounds of shape {tuple(found.shape)} do not broadcast with samples of shape "
            f"{tuple(like.shape[1:])}: give one number, or one for each feature"
        )
    return found


def _fits(found: Tensor, like: Tensor) -> bool:
    pairs = zip(reversed(found.shape), reversed(like.shape[1:]), strict=False)
    return found.ndim < like.ndim and all(a in (1, b) for a, b in pairs)
