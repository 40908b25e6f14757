"""What our functions return and the report shows: plain frozen records, readable without torch.

A record is written by `to_json` and read back by `from_json`; both keep every field. Numbers that
JSON has no word for (NaN, infinity) are written as the strings "nan", "inf" and "-inf". In a field
of type `Any` those three strings are read back as numbers, and a tuple as a list.
"""

from __future__ import annotations

import json
import math
import types
import typing
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, TypeVar

from gradwarden.core.errors import BadInput

SCHEMA = 1
R = TypeVar("R")


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a record came from."""

    version: str
    command: str  # reproduces the record
    environment: dict[str, str]
    sources: dict[str, str]  # file of ours -> hash
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One diagnostic's observation about one module of a model."""

    check: str  # name of the diagnostic
    module: str | None  # dotted path inside the model; None: the model as a whole
    value: float
    threshold: float
    share: float  # of samples, in [0, 1]
    why: str  # one sentence of meaning
    remedy: str  # what the audit did about it, or the user can
    kind: str = ""  # class of the module
    line: str = ""  # "file.py:12", the code at fault; "" where unknown
    cure: str = ""  # what an attacker does about it; "not needed" where nothing is hidden


def to_json(record: object) -> str:
    """Any record here as JSON text, keys in field order, indented, newline at the end."""
    return json.dumps(plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def plain(value: object) -> Any:
    """The same value in dicts, lists, strings and numbers that JSON can hold."""
    if is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in fields(value)}
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a record holds plain values only, got {type(value).__name__}: {value!r}")


def from_json(text: str, kind: type[R]) -> R:
    """The record of type `kind` that `to_json` wrote. Raises BadInput where it is not one."""
    try:
        raw = json.loads(text)
        if isinstance(raw, dict) and raw.get("schema", SCHEMA) != SCHEMA:
            raise BadInput(f"expected schema {SCHEMA}, got {raw['schema']}: another version's file")
        return typing.cast(R, _build(raw, kind))
    except (KeyError, TypeError, ValueError, AttributeError) as why:
        if isinstance(why, BadInput):
            raise
        raise BadInput(f"this is no {kind.__name__} record: {why}") from why


def _build(raw: Any, kind: Any) -> Any:
    if isinstance(kind, type) and is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        unknown = raw.keys() - hints.keys()
        if unknown:
            raise BadInput(f"this is no {kind.__name__} record: unknown field {min(unknown)!r}")
        return kind(**{name: _build(v, hints[name]) for name, v in raw.items()})
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        some = [a for a in args if a is not type(None)]
        return None if raw is None else _build(raw, some[0])
    if origin is tuple and not isinstance(raw, list):
        raise TypeError(f"expected a list, got {raw!r}")
    if origin is tuple:
        if len(args) == 2 and args[1] is Ellipsis:
            return tuple(_build(v, args[0]) for v in raw)
        return tuple(_build(v, a) for v, a in zip(raw, args, strict=True))
    if origin is dict:
        return {k: _build(v, args[1]) for k, v in raw.items()}
    if kind is Any:
        return _free(raw)
    if kind is float:
        return float(raw)
    if kind in (int, str, bool) and type(raw) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {raw!r}")
    return raw


def _free(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {k: _free(v) for k, v in raw.items()}
    if isinstance(raw, list):
        return [_free(v) for v in raw]
    return float(raw) if raw in ("nan", "inf", "-inf") else raw
