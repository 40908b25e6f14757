"""Samples and labels from a file, or from a callable that returns them."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gradwarden.cli import table
from gradwarden.cli.named import made
from gradwarden.core.errors import BadInput, GradwardenError, MissingExtra
from gradwarden.core.tabular import Tabular

TABLE = ".csv"
LABEL = "y"


def load(
    text: str, label: str | None = None, schema: Tabular | None = None
) -> tuple[Tensor, Tensor]:
    """x [N, ...] and y [N] on the CPU; integer labels of any width become int64.

    `text` names a `.npz`, `.pt` or `.safetensors` file that holds x and y, a callable that returns
    (x, y), or a `.csv` file whose column `label` (default y) holds the classes; see `table.read`
    for what becomes of the others. Raises BadInput.
    """
    path = Path(text)
    if label is not None and path.suffix != TABLE:
        raise BadInput(f"--label names a column of a {TABLE} file, got the data {text!r}")
    if path.suffix in (*READERS, TABLE):
        if not path.is_file():
            raise BadInput(f"there is no file {text}")
        pair = _xy(_read(path, label or LABEL, schema), text)
    elif ":" in text:
        pair = _xy(made(text), text)
    else:
        raise BadInput(
            f"got the data {text!r}, expected {', '.join(READERS)}, {TABLE}, file.py:callable or "
            "package.module:callable"
        )
    x, y = (_tensor(part, name, text) for part, name in zip(pair, "xy", strict=True))
    if x.ndim < 1 or y.ndim < 1 or len(x) != len(y):
        raise BadInput(
            f"{text} gives x of shape {tuple(x.shape)} and y of shape {tuple(y.shape)}, expected as "
            "many labels as samples"
        )
    integer = not (y.dtype.is_floating_point or y.dtype.is_complex or y.dtype == torch.bool)
    return x, y.long() if integer else y


def _read(path: Path, label: str, schema: Tabular | None) -> object:
    try:
        if path.suffix == TABLE:
            return table.read(path, label, schema)
        return READERS[path.suffix](path)
    except pickle.UnpicklingError:
        raise BadInput(
            f"{path} holds more than tensors, which could run code when it is read: save a dict "
            "of the tensors x and y"
        ) from None
    except GradwardenError:
        raise
    except Exception as why:  # each format has errors of its own, safetensors' under no builtin one
        raise BadInput(f"cannot read {path} as {path.suffix}: {_line(why)}") from why


def _npz(path: Path) -> object:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _pt(path: Path) -> object:
    return torch.load(path, map_location="cpu", weights_only=True)


def _safetensors(path: Path) -> object:
    try:
        from safetensors.torch import load_file
    except ImportError:
        raise MissingExtra("safetensors", "safetensors") from None
    found: dict[str, Tensor] = load_file(path)
    return found


READERS: dict[str, Callable[[Path], object]] = {
    ".npz": _npz,
    ".pt": _pt,
    ".safetensors": _safetensors,
}


def _xy(found: object, text: str) -> tuple[object, object]:
    if isinstance(found, Mapping):
        if not {"x", "y"} <= found.keys():
            names = ", ".join(map(str, found)) or "nothing"
            raise BadInput(f"{text} holds {names}, expected the arrays x and y")
        return found["x"], found["y"]
    if isinstance(found, tuple | list) and len(found) == 2:
        return found[0], found[1]
    raise BadInput(f"{text} gives {type(found).__name__}, expected the pair x, y")


def _tensor(part: object, name: str, text: str) -> Tensor:
    if isinstance(part, Tensor):
        return part.detach().cpu()
    try:
        return torch.from_numpy(np.array(part))
    except (TypeError, ValueError) as why:
        raise BadInput(f"{name} of {text} is no tensor or array of numbers: {_line(why)}") from why


def _line(why: BaseException) -> str:
    return (str(why).strip().splitlines() or [type(why).__name__])[0]
