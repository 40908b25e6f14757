"""One line of JSON a step: what the gradients were, and what was done to them.

The first line of each session is a header: schema, version, rule and parameters. Numbers that JSON
does not know are written as "nan", "inf" and "-inf".

On an accelerator the rows wait on the device, are copied without waiting for it, and are written
once they have arrived.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradwarden import __version__
from gradwarden.clip.engine import Clipped
from gradwarden.core.errors import BadInput, StoreError

SCHEMA = 1
COLUMNS = ("norm", "threshold", "coefficient", "finite")


# Which gradients were finite, on their device, and whose they are.
Sound = list[tuple[Tensor, tuple[str, ...]]]


class Row(NamedTuple):
    step: int
    norm: float
    threshold: float
    coefficient: float
    finite: bool
    culprits: tuple[str, ...]  # parameters whose gradient was not finite


@dataclass(frozen=True, kw_only=True)
class Record:
    """What `read_record` found; `rule` and `parameters` are of the last session."""

    rule: str
    version: str
    parameters: tuple[str, ...]
    rows: tuple[Row, ...]


class _Batch(NamedTuple):
    """Rows on their way from the device."""

    values: Tensor  # [R, 4] on the CPU, valid once `arrived`
    arrived: torch.cuda.Event | None
    steps: list[int]
    sound: list[Sound]


class Recorder:
    """Appends to the file `path`, `every` steps at a time; `close` writes what is left."""

    def __init__(self, path: str | Path, rule: str, names: Sequence[str], every: int = 64) -> None:
        if every < 1:
            raise BadInput(f"every must be at least 1 step, got {every}")
        self.path, self.every = Path(path), every
        self._steps: list[int] = []
        self._rows: list[Tensor] = []
        self._sound: list[Sound] = []
        self._waiting: deque[_Batch] = deque()
        header = {"schema": SCHEMA, "version": __version__, "rule": rule, "parameters": list(names)}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torn = self.path.exists() and not self.path.read_bytes()[-1:] in (b"", b"\n")
            self._file = self.path.open("a", encoding="utf-8")
            self._file.write("\n" * torn + json.dumps(header) + "\n")
            self._file.flush()
        except OSError as why:
            raise StoreError(f"cannot write the record {self.path}: {why.strerror}") from why

    def add(self, step: int, clipped: Clipped) -> None:
        self._steps.append(step)
        self._rows.append(
            torch.stack([getattr(clipped, name).detach().float() for name in COLUMNS])
        )
        self._sound.append(
            [(powers.tensors().float().isfinite(), names) for powers, names in clipped.parts]
        )
        at_hand = clipped.norm.device.type == "cpu"
        if len(self._rows) >= self.every or (at_hand and not clipped.finite):
            self._send()
        self._write(wait=False)

    def close(self) -> None:
        if self._file.closed:
            return
        self._send()
        self._write(wait=True)
        self._file.close()

    def _send(self) -> None:
        """Starts the copy of the rows so far to the host."""
        if not self._rows:
            return
        rows, arrived = torch.stack(self._rows), None
        if rows.device.type == "cuda":
            host = torch.empty(rows.shape, pin_memory=True)
            host.copy_(rows, non_blocking=True)
            arrived = torch.cuda.Event()
            arrived.record()
        else:
            host = rows.cpu()
        self._waiting.append(_Batch(host, arrived, self._steps, self._sound))
        self._steps, self._rows, self._sound = [], [], []

    def _write(self, wait: bool) -> None:
        wrote = False
        while self._waiting:
            batch = self._waiting[0]
            if batch.arrived is not None:
                if wait:
                    batch.arrived.synchronize()
                elif not batch.arrived.query():
                    break
            self._waiting.popleft()
            table = zip(batch.steps, batch.values.tolist(), batch.sound, strict=True)
            for step, values, sound in table:
                self._file.write(_line(step, values, sound))
            wrote = True
        if wrote:
            self._file.flush()


def read_record(path: str | Path) -> Record:
    """Reads what a Recorder wrote, a torn last line left out. Raises BadInput for another file."""
    header: dict[str, Any] | None = None
    rows: list[Row] = []
    for line in Path(path).read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            item = json.loads(line)
        except json.JSONDecodeError:
            continue  # the process died while it wrote; the next session began a new line
        if not isinstance(item, dict):
            continue
        if "schema" in item:
            if item["schema"] != SCHEMA:
                raise BadInput(f"{path}: expected schema {SCHEMA}, got {item['schema']}")
            header = item
        elif header is not None and item.keys() == set(Row._fields):
            numbers = {name: float(item[name]) for name in COLUMNS[:3]}
            rows.append(Row(**item | numbers | {"culprits": tuple(item["culprits"])}))
    if header is None:
        raise BadInput(f"{path} is not a record of gradwarden.clip: it has no header line")
    return Record(
        rule=header["rule"],
        version=header["version"],
        parameters=tuple(header["parameters"]),
        rows=tuple(rows),
    )


def _line(step: int, values: list[float], sound: Sound) -> str:
    numbers = dict(zip(COLUMNS[:3], map(_number, values), strict=False))
    finite = bool(values[3])
    culprits: list[str] = []
    if not finite:
        for flags, names in sound:
            culprits += [name for name, ok in zip(names, flags.tolist(), strict=True) if not ok]
    return json.dumps({"step": step, **numbers, "finite": finite, "culprits": culprits}) + "\n"


def _number(x: float) -> float | str:
    return x if math.isfinite(x) else str(x)
