"""Computes a dumped step again, and names the first module that makes a value not finite."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.clip.dump import Dump, Pass, Rng, read_dump
from gradwarden.clip.faults import Fault, Faults, Phase
from gradwarden.core.errors import BadInput

Loss = Callable[[nn.Module, Any], Tensor]


@dataclass(frozen=True, kw_only=True)
class Replayed:
    step: int
    phase: Phase | None  # None: this time every value was finite
    module: str | None  # dotted path inside the model, "" is the model itself; None: none of them
    kind: str  # class of that module
    why: str  # one sentence
    losses: tuple[float, ...]  # one a pass
    notes: tuple[str, ...]  # what may differ from the run


def replay(dump: str | Path, model: nn.Module, loss: Loss) -> Replayed:
    """Forward and backward from the weights, random states and batch of `dump`.

    `loss(model, batch)` is what training computed and called `backward` on. The weights are put into
    `model`, on whatever device it is. Raises BadInput where dump, model and loss do not fit.
    """
    held = read_dump(dump)
    if not held.passes:
        raise BadInput(
            f"the dump {dump} holds no batch: call guard.observe(loss, batch=...) in each step"
        )
    _load(model, held)
    notes, losses = [], []
    fault = None
    with _as_it_was(model):
        for one in held.passes:
            notes += _restore(one, model)
            value, fault = _once(model, loss, one, held.scale)
            losses.append(value)
            if one.loss is not None and not _close(value, one.loss):
                notes.append(f"the loss was {one.loss:.6g} in the run and is {value:.6g} now")
            if fault is not None:
                break
    module = None if fault is None else fault.module
    kind = "" if module is None else type(model.get_submodule(module)).__name__
    return Replayed(
        step=held.step,
        phase=None if fault is None else fault.phase,
        module=module,
        kind=kind,
        why="every output and every gradient is finite this time" if fault is None else fault.why,
        losses=tuple(losses),
        notes=tuple(dict.fromkeys(notes)),
    )


def _load(model: nn.Module, held: Dump) -> None:
    named = dict(model.named_parameters()) | dict(model.named_buffers())
    missing, extra = named.keys() - held.weights.keys(), held.weights.keys() - named.keys()
    if missing or extra:
        raise BadInput(
            f"the model is not that of the dump: {len(missing)} of its tensors are not in the dump "
            f"{sorted(missing)[:3]}, {len(extra)} of the dump's are not in it {sorted(extra)[:3]}"
        )
    for name, tensor in named.items():
        if tensor.shape != held.weights[name].shape:
            raise BadInput(
                f"the model is not that of the dump: {name} has shape {tuple(tensor.shape)}, "
                f"expected {tuple(held.weights[name].shape)}"
            )
    with torch.no_grad():
        for name, tensor in named.items():
            saved = held.weights[name]
            if saved.dtype == tensor.dtype:
                tensor.copy_(saved)
            else:  # as the run had it: float16 overflows where float32 does not
                tensor.data = saved.to(tensor.device)
    training = set(held.training)
    for name, module in model.named_modules():
        module.training = name in training
    model.zero_grad()


@contextmanager
def _as_it_was(model: nn.Module) -> Iterator[None]:
    """The caller's random states come back."""
    devices = sorted({p.device.index or 0 for p in model.parameters() if p.is_cuda})
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _restore(one: Pass, model: nn.Module) -> list[str]:
    if one.rng is None:
        return ["no random states in the dump: call the model as a module, model(x)"]
    rng: Rng = one.rng
    torch.set_rng_state(rng.cpu)
    random.setstate(rng.python)
    np.random.set_state(rng.numpy)
    here = {p.device.index or 0 for p in model.parameters() if p.is_cuda}
    for device in here & rng.cuda.keys():
        torch.cuda.set_rng_state(rng.cuda[device], device)
    if here != rng.cuda.keys():
        return ["the model is on other devices than in the run: dropout draws differ"]
    return []


def _once(model: nn.Module, loss: Loss, one: Pass, scale: float) -> tuple[float, Fault | None]:
    """Loss, and the first fault in the order of computation."""
    place = next((p.device for p in model.parameters()), torch.device("cpu"))
    batch = _moved(one.batch, place)
    with Faults(model, batch) as faults, ExitStack() as stack:
        for kind, dtype in one.autocast.items():
            if kind == place.type:
                stack.enter_context(torch.autocast(kind, getattr(torch, dtype)))
        try:
            value = loss(model, batch)
        except Exception as why:
            raise BadInput(f"the loss function raised {type(why).__name__}: {_line(why)}") from why
        stack.close()
        if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
            said = f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else value
            raise BadInput(
                f"the loss function must return a scalar tensor that requires a gradient, got {said}"
            )
        faults.loss(value)
        if faults.first is None:
            (value * scale).backward()
    return value.item(), faults.first


def _moved(tree: Any, place: torch.device) -> Any:
    if isinstance(tree, Tensor):
        return tree.to(place)
    if isinstance(tree, Mapping):
        return {k: _moved(v, place) for k, v in tree.items()}
    if isinstance(tree, tuple | list):
        return type(tree)(_moved(x, place) for x in tree)
    return tree


def _close(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b)) or math.isclose(a, b, rel_tol=1e-4)


def _line(why: BaseException) -> str:
    return (str(why).strip().splitlines() or [""])[0]
