"""What must hold before an attack starts; each fault is one BadInput sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from gradwarden.attack.memory import Pieces, out_of_memory
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
    _check_ids(ids, len(x))
    check_mode(model)
    with torch.no_grad():
        every = torch.arange(len(x), device=x.device)
        parts = pieces.run(every, lambda rows: _asked(model, x[rows]))
    for part in parts:
        check_width(part, parts[0].shape[1])
    logits = torch.cat(parts)
    _check_labels(y, logits.shape[1])
    if not logits.isfinite().all(1).any():
        raise BadInput("the model returns NaN or infinite logits for every sample: nothing to test")
    return logits


def classes_of(model: Model, x: Tensor, y: Tensor, threat: Threat) -> int:
    """How many logits `model` returns, from two samples; checks what `clean_logits` does of them."""
    threat.check(x, y)
    check_mode(model)
    with torch.no_grad():
        found = _asked(model, x[:2].clone()).shape[1]
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


def _check_ids(ids: Sequence[int], n: int) -> None:
    if len(ids) != n:
        raise BadInput(f"ids must name each of the {n} samples, got {len(ids)}")
    twice = next((one for one, times in Counter(ids).items() if times > 1), None)
    if twice is not None:
        raise BadInput(
            f"ids must be another one for each sample, got {twice} twice: they key the draws and "
            "name the samples in the record"
        )


def _asked(model: Model, x: Tensor) -> Tensor:
    """Logits [N, classes]; whatever the user's code raises becomes one sentence."""
    lazy = model.parameters() if isinstance(model, nn.Module) else ()
    if any(is_lazy(parameter) for parameter in lazy):
        raise BadInput(
            "the model has lazy modules whose weights do not exist yet: call it on some data and "
            "train it first"
        )
    try:
        logits = model(x)
    except (BadInput, MemoryError):
        raise
    except Exception as why:
        if out_of_memory(why):
            raise
        text = (str(why).strip().splitlines() or [""])[0]
        raise BadInput(
            f"the model cannot be called with x alone, {x.dtype} of shape {tuple(x.shape)} "
            f"({type(why).__name__}: {text}): bring x to the shape, dtype and device that it takes, "
            "or wrap it in a module whose forward(x) returns logits"
        ) from why
    return _checked(logits, x)


def _checked(logits: object, x: Tensor) -> Tensor:
    if not isinstance(logits, Tensor):
        got = type(logits).__name__
        raise BadInput(
            f"the model must return a tensor of logits [N, classes], got {got}: wrap it in a module "
            "whose forward(x) returns the logits alone"
        )
    if logits.shape in ((len(x),), (len(x), 1)) and logits.dtype.is_floating_point:
        raise BadInput(
            f"the model returns one number a sample, shape {tuple(logits.shape)}, expected logits "
            f"[{len(x)}, classes] of at least 2 classes: wrap it in gradwarden.attack.Binary where "
            "it is a logit, in FromProbabilities where it is a probability"
        )
    if logits.ndim != 2 or len(logits) != len(x) or not logits.dtype.is_floating_point:
        raise BadInput(
            f"the model must return floating-point logits [{len(x)}, classes], got {logits.dtype} "
            f"of shape {tuple(logits.shape)}"
        )
    if logits.device != x.device:
        raise BadInput(
            f"the model returns logits on {logits.device} for x on {x.device}: bring both to one "
            "device"
        )
    return logits


def check_width(logits: Tensor, classes: int) -> None:
    """Raises BadInput where these are no logits [N, classes]."""
    if logits.ndim != 2 or logits.shape[1] != classes:
        raise BadInput(
            f"the model returns logits of another shape from call to call: {tuple(logits.shape)} "
            f"after [N, {classes}]"
        )
