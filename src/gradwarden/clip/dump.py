"""A folder that holds what one step was computed from, so that it can be computed again.

- `weights.safetensors`: parameters and buffers as they were before the step
- `passes.safetensors`, `dump.json`: each forward pass with its batch and random states; the end of
  the recorder's log, and what was wrong

Buffers are those after the forward pass: running statistics have seen the batch already.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradwarden.clip.record import Header, Row, from_json, to_json
from gradwarden.core.errors import BadInput, MissingExtra
from gradwarden.core.provenance import environment

SCHEMA = 1
WEIGHTS, PASSES, REST = "weights.safetensors", "passes.safetensors", "dump.json"


class Rng(NamedTuple):
    """Random states; `cuda` has one for each device that the model is on."""

    cpu: Tensor
    cuda: dict[int, Tensor]
    python: tuple[Any, ...]
    numpy: tuple[Any, ...]


class Pass(NamedTuple):
    """One forward and backward before the step; gradient accumulation has several."""

    batch: Any  # tensors, arrays, numbers and texts in lists, tuples and mappings
    loss: float | None
    rng: Rng | None  # as the model's forward began
    autocast: dict[str, str]  # device type -> dtype, where it was on


@dataclass(frozen=True, kw_only=True)
class Dump:
    step: int
    header: Header
    culprits: tuple[str, ...]  # parameters whose gradient was not finite
    scale: float  # that the loss was multiplied by
    training: tuple[str, ...]  # names of the modules in training mode
    weights: dict[str, Tensor]
    passes: tuple[Pass, ...]
    tail: tuple[Row, ...]
    environment: dict[str, str]


def write_dump(dump: Dump, path: Path) -> None:
    """The folder is there whole or not at all. Raises OSError, TypeError for a batch of other things,
    and what safetensors raises."""
    tensors: dict[str, Tensor] = {}
    rest = {
        "schema": SCHEMA,
        "step": dump.step,
        "header": to_json(dump.header),
        "culprits": dump.culprits,
        "scale": dump.scale,
        "training": dump.training,
        "passes": _packed(dump.passes, tensors),
        "tail": [to_json(row) for row in dump.tail],
        "environment": dump.environment or environment(),
    }
    text = json.dumps(rest, allow_nan=False)
    save_file = _safetensors().save_file
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        beside.mkdir(parents=True)
        save_file(_apart(dump.weights), beside / WEIGHTS)
        save_file(_apart(tensors), beside / PASSES)
        (beside / REST).write_text(text, encoding="utf-8")
        mode = (beside / REST).stat().st_mode  # what the umask says; safetensors does not ask it
        for name in (WEIGHTS, PASSES, REST):
            (beside / name).chmod(mode)
            with open(beside / name, "rb") as file:
                os.fsync(file.fileno())
        os.rename(beside, path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def read_dump(path: str | Path) -> Dump:
    """Raises BadInput where `path` is no dump, or a damaged one."""
    folder = Path(path)
    if not (folder / REST).is_file():
        inside = sorted(p.parent for p in folder.glob(f"*/{REST}"))
        hint = f"; did you mean {inside[-1]}?" if inside else ""
        raise BadInput(f"{path} is not a dump: expected a folder with {REST}{hint}")
    load_file = _safetensors().load_file
    from safetensors import SafetensorError

    try:
        rest = json.loads((folder / REST).read_text(encoding="utf-8"))
        if rest["schema"] != SCHEMA:
            raise BadInput(f"{path}: expected schema {SCHEMA}, got {rest['schema']}")
        tensors = load_file(folder / PASSES)
        header = from_json(rest["header"])
        tail = [from_json(row) for row in rest["tail"]]
        return Dump(
            step=int(rest["step"]),
            header=header if isinstance(header, Header) else Header("", "", "", ()),
            culprits=tuple(rest["culprits"]),
            scale=float(rest["scale"]),
            training=tuple(rest["training"]),
            weights=load_file(folder / WEIGHTS),
            passes=tuple(_pass(p) for p in _unpacked(rest["passes"], tensors)),
            tail=tuple(row for row in tail if isinstance(row, Row)),
            environment=dict(rest["environment"]),
        )
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as why:
        if isinstance(why, BadInput):
            raise
        line = (str(why).strip().splitlines() or [""])[0]
        raise BadInput(f"the dump {path} is damaged: {type(why).__name__}: {line}") from why


def need_safetensors() -> None:
    """Raises MissingExtra now, not in the step that is to be dumped."""
    _safetensors()


def _safetensors() -> Any:
    try:
        import safetensors.torch
    except ImportError:
        raise MissingExtra("safetensors", "safetensors") from None
    return safetensors.torch


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """On the CPU and each with memory of its own, as the format wants them."""
    out: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        value = tensor.detach().cpu().contiguous()
        memory = value.untyped_storage()
        if memory.data_ptr() in taken or memory.nbytes() != value.nbytes:
            value = value.clone()
        taken.add(value.untyped_storage().data_ptr())
        out[name] = value
    return out


def _pass(fields: tuple[Any, ...]) -> Pass:
    batch, loss, rng, autocast = fields
    return Pass(batch, loss, None if rng is None else Rng(*rng), autocast)


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON; its tensors go to `tensors`."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return {"float": repr(value)}
    if isinstance(value, np.generic):
        return _packed(value.item(), tensors)
    if isinstance(value, Tensor | np.ndarray):
        name = str(len(tensors))
        if isinstance(value, Tensor):
            tensors[name] = value
            return {"tensor": name}
        tensors[name] = torch.from_numpy(np.ascontiguousarray(value))
        return {"array": name}
    if isinstance(value, Mapping):
        pairs = [[_packed(k, tensors), _packed(v, tensors)] for k, v in value.items()]
        return {"mapping": pairs}
    if isinstance(value, tuple):
        return {"tuple": [_packed(x, tensors) for x in value]}
    if isinstance(value, list):
        return [_packed(x, tensors) for x in value]
    raise TypeError(
        f"the batch holds a {type(value).__name__}, expected tensors, arrays, numbers and texts in "
        "lists, tuples and mappings"
    )


def _unpacked(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    if isinstance(value, list):
        return [_unpacked(x, tensors) for x in value]
    if not isinstance(value, dict):
        return value
    ((kind, held),) = value.items()
    if kind == "float":
        return float(held)
    if kind == "tensor":
        return tensors[held]
    if kind == "array":
        return tensors[held].numpy()
    if kind == "mapping":
        return {_unpacked(k, tensors): _unpacked(v, tensors) for k, v in held}
    return tuple(_unpacked(x, tensors) for x in held)
