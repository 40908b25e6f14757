"""What a recorder tells: entries, and the file that holds one a line, as JSON.

The first line of each session is a header. Numbers that JSON does not know are written as "nan",
"inf" and "-inf". Reading needs no torch.
"""

from __future__ import annotations

import contextlib
import json
import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

from gradwarden.core.errors import BadInput, StoreError

SCHEMA = 1

Kind = Literal["spike", "non-finite", "withheld", "level shift", "all clipped", "never clipped"]


class Header(NamedTuple):
    version: str
    rule: str  # "None": nothing is clipped
    optimizer: str  # name of its class
    parameters: tuple[str, ...]


class Row(NamedTuple):
    """One step."""

    step: int
    norm: float  # of all gradients together, before clipping
    threshold: float
    coefficient: float  # the smallest; 0 in a step that was not taken
    finite: bool
    after: float = math.nan  # norm after clipping; 0 in a step that was not taken
    loss: float | None = None  # None where nobody gave one
    worst: tuple[str, float] | None = None  # largest gradient norm, share of the squared norm
    culprits: tuple[str, ...] = ()  # parameters whose gradient was not finite

    @property
    def skipped(self) -> bool:
        return self.coefficient == 0.0

    @property
    def clipped(self) -> bool:
        return 0.0 < self.coefficient < 1.0


class Window(NamedTuple):
    """The steps of one flush."""

    first: int  # step
    last: int
    quartiles: tuple[float, ...]  # of the finite norms: least, 25 %, 50 %, 75 %, largest; or empty
    clipped: float  # share of the steps
    skipped: float  # share of the steps
    dominant: tuple[tuple[str, float], ...]  # parameter, its mean share of the squared norm


class Event(NamedTuple):
    step: int
    kind: Kind
    why: str  # one sentence


Entry = Header | Row | Window | Event
Sink = str | Path | Callable[[Entry], object]


@dataclass(frozen=True, kw_only=True)
class Record:
    """What a run left; `rule`, `optimizer` and `parameters` are of its last session."""

    rule: str
    version: str
    optimizer: str
    parameters: tuple[str, ...]
    rows: tuple[Row, ...]
    windows: tuple[Window, ...] = ()
    events: tuple[Event, ...] = ()


class JsonLines:
    """A sink that appends to a file, whole lines at a time; `flush` hands them to the system.

    A disk that fills up costs the record and one warning, never the training run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            torn = self.path.exists() and not _ends_whole(self.path)
            self._file: IO[str] = self.path.open("a", encoding="utf-8")
        except OSError as why:
            raise StoreError(f"cannot write the record {self.path}: {why.strerror}") from why
        self._lines = ["\n"] if torn else []

    def __call__(self, entry: Entry) -> None:
        self._lines.append(json.dumps(to_json(entry)) + "\n")

    def flush(self) -> None:
        lines, self._lines = self._lines, []
        if self._file.closed:
            return
        try:
            self._file.writelines(lines)
            self._file.flush()
        except OSError as why:
            warnings.warn(f"the record {self.path} ends here: {why.strerror or why}", stacklevel=2)
            self._abandon()

    def close(self) -> None:
        self.flush()
        self._file.close()

    def _abandon(self) -> None:
        with contextlib.suppress(OSError):  # it tries once more to write what did not fit
            self._file.close()


def _ends_whole(path: Path) -> bool:
    with path.open("rb") as file:
        if not file.seek(0, 2):
            return True
        file.seek(-1, 2)
        return file.read(1) == b"\n"


class Follower:
    """Reads what a file has gained since the last time; begins anew where it was replaced."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._place, self._torn = 0, b""

    def read(self) -> Iterator[Entry]:
        """Raises BadInput where there is no such file, or it is of another schema."""
        try:
            file = self.path.open("rb")
        except OSError as why:
            raise BadInput(f"cannot read the record {self.path}: {why.strerror}") from None
        with file:
            if file.seek(0, 2) < self._place:
                self._place, self._torn = 0, b""
            file.seek(self._place)
            for line in file:
                self._place += len(line)
                line, self._torn = self._torn + line, b""
                if not line.endswith(b"\n"):  # the rest may come
                    self._torn = line
                elif (entry := _parsed(line, self.path)) is not None:
                    yield entry


def read_record(path: str | Path) -> Record:
    """Reads what `attach(..., record=path)` wrote, a torn last line left out. Raises BadInput."""
    header: Header | None = None
    rows: list[Row] = []
    windows: list[Window] = []
    events: list[Event] = []
    for entry in Follower(path).read():
        if isinstance(entry, Header):
            header = entry
        elif isinstance(entry, Row):
            rows.append(entry)
        elif isinstance(entry, Window):
            windows.append(entry)
        else:
            events.append(entry)
    if header is None:
        raise not_a_record(path)
    return Record(
        **header._asdict(), rows=tuple(rows), windows=tuple(windows), events=tuple(events)
    )


def not_a_record(path: str | Path) -> BadInput:
    return BadInput(f"{path} is not a record of gradwarden.clip: it has no header line")


def to_json(entry: Entry) -> dict[str, Any]:
    """What a line holds; fields that say nothing are left out."""
    if isinstance(entry, Header):
        return {"schema": SCHEMA, **entry._asdict()}
    if isinstance(entry, Window):
        return {"window": [entry.first, entry.last], **_numbers(entry._asdict(), "first", "last")}
    if isinstance(entry, Event):
        return {"event": entry.kind, "step": entry.step, "why": entry.why}
    silent = [name for name in ("loss", "worst", "culprits") if not getattr(entry, name)]
    if entry.loss is not None and "loss" in silent:
        silent.remove("loss")
    return _numbers(entry._asdict(), *silent)


def from_json(item: dict[str, Any]) -> Entry | None:
    """The entry that `to_json` made `item` of; None for anything else."""
    try:
        if "schema" in item:
            version, rule, optimizer = (str(item[k]) for k in ("version", "rule", "optimizer"))
            return Header(version, rule, optimizer, tuple(item["parameters"]))
        if "event" in item:
            return Event(int(item["step"]), item["event"], str(item["why"]))
        if "window" in item:
            first, last = item["window"]
            return Window(
                int(first),
                int(last),
                tuple(map(float, item["quartiles"])),
                float(item["clipped"]),
                float(item["skipped"]),
                tuple((str(name), float(share)) for name, share in item["dominant"]),
            )
        worst = item.get("worst")
        return Row(
            step=int(item["step"]),
            norm=float(item["norm"]),
            threshold=float(item["threshold"]),
            coefficient=float(item["coefficient"]),
            finite=bool(item["finite"]),
            after=float(item["after"]),
            loss=float(item["loss"]) if "loss" in item else None,
            worst=None if worst is None else (str(worst[0]), float(worst[1])),
            culprits=tuple(item.get("culprits", ())),
        )
    except (KeyError, TypeError, ValueError):
        return None


def _parsed(line: bytes, path: Path) -> Entry | None:
    try:
        item = json.loads(line)
    except ValueError:
        return None  # the process died while it wrote; the next session began a new line
    if not isinstance(item, dict):
        return None
    if item.get("schema", SCHEMA) != SCHEMA:
        raise BadInput(f"{path}: expected schema {SCHEMA}, got {item['schema']}")
    return from_json(item)


def _numbers(fields: dict[str, Any], *left_out: str) -> dict[str, Any]:
    return {name: _number(x) for name, x in fields.items() if name not in left_out}


def _number(x: Any) -> Any:
    if isinstance(x, tuple):
        return [_number(y) for y in x]
    return str(x) if isinstance(x, float) and not math.isfinite(x) else x
