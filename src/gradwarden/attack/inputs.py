"""What must hold before an attack starts; each fault is one BadInput sentence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gradwarden.attack.memory import Pieces
from gradwarden.core.errors import BadInput
from gradwarden.core.search import Model
from gradwarden.core.threat import Threat


def clean_logits(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    ids: Sequence[int],
    batch_size: int | Pieces,
) -> Tensor:
    """Logits [N, classes] of x [N, ...]. Raises BadInput where model or data cannot be attacked."""
    pieces = batch_size if isinstance(batch_size, Pieces) else Pieces(batch_size)
    threat.check(x, y)
    if len(ids) != len(x):
        raise BadInput(f"ids must name each of the {len(x)} samples, got {len(ids)}")
    check_mode(model)
    with torch.no_grad():
        every = torch.arange(len(x), device=x.device)
        logits = torch.cat(pieces.run(every, lambda rows: _checked(model(x[rows]), x[rows])))
    _check_labels(y, logits.shape[1])
    if not logits.isfinite().all(1).any():
        raise BadInput("the model returns NaN or infinite logits for every sample: nothing to test")
    return logits


def classes_of(model: Model, x: Tensor, y: Tensor, threat: Threat) -> int:
    """How many logits `model` returns, from two samples; checks what `clean_logits` does of them."""
    threat.check(x, y)
    check_mode(model)
    with torch.no_grad():
        found = _checked(model(x[:2].clone()), x[:2]).shape[1]
    _check_labels(y, found)
    return found


def check_mode(model: Model) -> None:
    if isinstance(model, nn.Module) and model.training:
        raise BadInput(
            "the model is in train mode, where batch norm and dropout answer differently than when "
            "it is used: call model.eval() first"
        )


def _check_labels(y: Tensor, classes: int) -> None:
    low, high = int(y.min()), int(y.max())
    if low < 0 or high >= classes:
        raise BadInput(
            f"labels lie in [{low}, {high}], expected class indices in [0, {classes - 1}]: "
            f"the model returns {classes} logits a sample"
        )


def _checked(logits: object, x: Tensor) -> Tensor:
    if not isinstance(logits, Tensor):
        got = type(logits).__name__
        raise BadInput(f"the model must return a tensor of logits [N, classes], got {got}")
    if logits.ndim != 2 or len(logits) != len(x) or not logits.dtype.is_floating_point:
        raise BadInput(
            f"the model must return floating-point logits [{len(x)}, classes], got {logits.dtype} "
            f"of shape {tuple(logits.shape)}"
        )
    return logits
