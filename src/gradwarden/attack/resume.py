"""Finished batches of a cascade in a folder, so that an interrupted one goes on where it stopped."""

from __future__ import annotations

import hashlib
import inspect
import io
import json
import os
import pickle
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from gradwarden.attack.table import Outcome
from gradwarden.core.errors import BadInput, StoreError
from gradwarden.core.files import write_atomically
from gradwarden.core.protocols import Attack
from gradwarden.core.provenance import combined, sources
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat

MANIFEST = "cascade.json"


class Kept:
    """A folder of the batches of one cascade; several processes may share it."""

    def __init__(self, folder: Path, identity: dict[str, str]) -> None:
        """Raises BadInput where the folder holds another cascade, or something else."""
        self.folder = folder
        manifest = folder / MANIFEST
        # One look: another process may be writing the manifest, under a hidden name at first.
        there = _names(folder)
        if MANIFEST in there:
            _check_same(manifest, identity)
        elif there:
            raise BadInput(f"{folder} is no folder of a cascade: give a new or an empty one")
        else:
            write_atomically(manifest, json.dumps(identity, indent=1) + "\n")

    def read(self, stage: int, number: int, rows: Tensor) -> Outcome | None:
        """What was kept of batch `number` of attack `stage`, or None."""
        try:
            raw = torch.load(self._file(stage, number), map_location=rows.device, weights_only=True)
            found = Outcome(**raw | {"found": Attacked(**raw["found"])})
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, EOFError, TypeError, KeyError, pickle.UnpicklingError):
            return None  # damaged by something other than us: run it again
        return found if torch.equal(found.rows, rows) else None

    def write(self, stage: int, number: int, outcome: Outcome) -> None:
        plain = outcome.to("cpu")._asdict() | {"found": outcome.to("cpu").found._asdict()}
        file = io.BytesIO()
        torch.save(plain, file)
        write_atomically(self._file(stage, number), file.getvalue())

    def _file(self, stage: int, number: int) -> Path:
        return self.folder / f"attack-{stage:02}-batch-{number:05}.pt"


def _names(folder: Path) -> list[str]:
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except FileNotFoundError:
        return []
    except OSError as why:
        raise StoreError(f"cannot read {folder}: {why.strerror or why}") from why


def _check_same(manifest: Path, identity: dict[str, str]) -> None:
    try:
        before = json.loads(manifest.read_text(encoding="utf-8"))
        parts = [name for name in identity if before.get(name) != identity[name]]
        if len(parts) > 1:  # they follow from the others
            parts = [name for name in parts if name != "clean logits"]
    except OSError as why:
        raise StoreError(f"cannot read {manifest}: {why.strerror or why}") from why
    except (ValueError, AttributeError):
        parts = ["a damaged file"]
    if parts:
        raise BadInput(
            f"cannot resume from {manifest.parent}: it holds a cascade with other "
            f"{', '.join(parts)}; give another folder"
        )


def identity(
    model: Model,
    x: Tensor,
    y: Tensor,
    threat: Threat,
    attacks: Sequence[Attack],
    *,
    ids: Sequence[int],
    logits: Tensor,
    options: dict[str, object],
) -> dict[str, str]:
    """Hashes of all that a cascade's results depend on, by name.

    A callable's weights cannot be seen; its `logits` on x [N, ...] stand for them.
    """
    weights = model.state_dict() if isinstance(model, nn.Module) else {}
    tensors = {name: part for name, part in weights.items() if isinstance(part, Tensor)}
    return {
        "model code": _digest([type(model).__qualname__, *_code(model)]),
        "weights": _digest(_bytes(tensors)),
        "threat": _digest([repr(threat)]),
        "x": _digest(_bytes({"x": x})),
        "y": _digest(_bytes({"y": y})),
        "ids": _digest([repr([int(i) for i in ids])]),
        "attacks": _digest(map(repr, attacks)),
        "clean logits": _digest(_bytes({"logits": logits})),
        "gradwarden sources": combined(sources(_homes([*attacks, threat]))),
        **{name: _digest([repr(value)]) for name, value in options.items()},
    }


def _homes(values: Sequence[object]) -> set[str]:
    """The modules of these dataclasses and of all that they hold."""
    found = {"gradwarden.attack.ledger"}
    ahead = list(values)
    while ahead:
        value = ahead.pop()
        if isinstance(value, tuple | list):
            ahead += value
        elif is_dataclass(value) and not isinstance(value, type):
            found.add(type(value).__module__)
            ahead += [getattr(value, f.name) for f in fields(value)]
    return found


def _code(model: Model) -> Iterator[str]:
    """Sources of a model's own classes, or of the callable."""
    if not isinstance(model, nn.Module):
        yield _source(model if inspect.isroutine(model) else type(model))
        return
    yield repr(model)
    kinds = {type(part) for part in model.modules()}
    for kind in sorted(kinds, key=lambda kind: (kind.__module__, kind.__qualname__)):
        if not kind.__module__.startswith("torch."):
            yield _source(kind)


def _source(thing: object) -> str:
    try:
        return inspect.getsource(thing)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', '')}"


def _bytes(tensors: dict[str, Tensor]) -> Iterator[bytes]:
    for name, tensor in tensors.items():
        yield f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode()
        yield tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()


def _digest(parts: Iterable[str | bytes]) -> str:
    found = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "little") + data)
    return found.hexdigest()
