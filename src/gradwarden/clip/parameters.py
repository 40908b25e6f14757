"""The parameters that an engine looks after: named, each once, and fit to be clipped."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gradwarden.core.errors import BadInput

_DEVICE_OF = attrgetter("device")


class Found(NamedTuple):
    """The gradients of one step, sorted so that those of a device are together."""

    places: list[int]  # of the parameter among all
    params: list[Tensor]
    grads: list[Tensor]
    whole: bool  # every parameter has one, in order


def named(pairs: object) -> dict[str, Tensor]:
    """`model.named_parameters()` as a dictionary; a tensor under two names counts under the first.

    Raises BadInput where `pairs` is something else, is empty, or holds what cannot be clipped.
    """
    if isinstance(pairs, nn.Module) or not isinstance(pairs, Iterable):
        raise BadInput(f"expected model.named_parameters(), got {type(pairs).__name__}")
    found: dict[str, Tensor] = {}
    seen: set[int] = set()
    for pair in pairs:
        if not (isinstance(pair, tuple) and len(pair) == 2 and isinstance(pair[0], str)):
            raise BadInput(
                f"expected pairs (name, parameter) as of model.named_parameters(), got an item of "
                f"type {type(pair).__name__}"
            )
        name, tensor = pair
        _check_tensor(name, tensor)
        if id(tensor) in seen:
            continue
        if name in found:
            raise BadInput(f"got two parameters named {name!r}: names must be unique")
        seen.add(id(tensor))
        found[name] = tensor
    if not found:
        raise BadInput("got no parameters to clip: an exhausted iterator, or a model without any?")
    if not any(t.requires_grad or t.grad is not None for t in found.values()):
        raise BadInput(
            "none of the tensors requires a gradient or has one: pass the parameters, not their "
            "gradients, and do not freeze them all"
        )
    return found


def numbered(parameters: object) -> list[tuple[str, object]]:
    """An iterable of parameters, or one of them, with its place in the list as its name."""
    if isinstance(parameters, Tensor):
        parameters = [parameters]
    if isinstance(parameters, nn.Module) or not isinstance(parameters, Iterable):
        raise BadInput(f"expected model.parameters(), got {type(parameters).__name__}")
    return [(f"parameter {i}", p) for i, p in enumerate(parameters)]


def _check_tensor(name: str, tensor: object) -> None:
    if not isinstance(tensor, Tensor):
        raise BadInput(f"{name!r} is a {type(tensor).__name__}, expected a parameter")
    if not tensor.is_leaf:
        raise BadInput(f"{name!r} is the result of a computation, expected a parameter (a leaf)")
    if _sharded(tensor):
        raise BadInput(
            f"{name!r} is sharded over several processes ({type(tensor).__name__}), where a norm "
            "of the local part is wrong: clip it with torch, or keep the model on one device"
        )


def _sharded(tensor: Tensor) -> bool:
    # Looked up, not imported: where nobody has imported DTensor, there is none.
    module = sys.modules.get("torch.distributed.tensor")
    if module is not None and isinstance(tensor, module.DTensor):
        return True
    return type(tensor).__name__ in ("ShardedTensor", "FlatParameter") or hasattr(
        tensor, "_is_flat_param"
    )


def find(params: Sequence[Tensor]) -> Found:
    """Gradients that exist now; one that two parameters share is found once."""
    grads = [p.grad for p in params]
    places = [i for i, g in enumerate(grads) if g is not None]
    if len(set(map(id, grads))) < len(grads):  # some are None, or shared
        first = {id(grads[i]): i for i in reversed(places)}
        places = sorted(first.values())
    if len(set(map(_DEVICE_OF, params))) > 1:
        places.sort(key=lambda i: str(params[i].device))
    whole = places == list(range(len(params)))
    held = list(params) if whole else [params[i] for i in places]
    return Found(places, held, [g for i in places if (g := grads[i]) is not None], whole)


def by_device(tensors: Sequence[Tensor]) -> list[Sequence[Tensor]]:
    """Consecutive runs of tensors that are on one device."""
    if len(set(map(_DEVICE_OF, tensors))) == 1:
        return [tensors]
    return [list(run) for _, run in groupby(tensors, key=_DEVICE_OF)]


def home_of(tensors: Iterable[Tensor]) -> torch.device:
    """Where state and decisions live: an accelerator if any tensor is on one."""
    devices = [t.device for t in tensors]
    return next((d for d in devices if d.type != "cpu"), devices[0])
