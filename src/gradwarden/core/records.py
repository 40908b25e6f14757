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
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass
from functools import cache, partial
from json.encoder import encode_basestring as _quoted
from typing import Any, TypeVar

from gradwarden.core.errors import BadInput

SCHEMA = 1
R = TypeVar("R")
_NUMBERS = {int, float, bool, type(None)}  # the types of a list that is written on one line
_WORDS = ("nan", "inf", "-inf")  # numbers that JSON lacks
_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


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
    """Any record here as JSON text, keys in field order, newline at the end.

    A line for each field and each member of a list, but one for a list of numbers.
    """
    return _text(record, "\n") + "\n"


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


def _text(value: Any, line: str) -> str:
    """`line` is the line break with what stands before `value` on its line."""
    inner = line + " "
    if isinstance(value, list | tuple):
        return _numbers(value) or _between("[", [_text(v, inner) for v in value], "]", line)
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if not isinstance(value, dict):
        return _encode(plain(value))
    if value and set(map(type, value)) == {str} and set(map(type, value.values())) == {str}:
        return "{" + inner + _encoder(inner)(value)[1:-1] + line + "}"
    members = [
        f"{_quoted(str(k))}: {_quoted(v) if isinstance(v, str) else _text(v, inner)}"
        for k, v in value.items()
    ]
    return _between("{", members, "}", line)


@cache
def _encoder(line: str) -> Callable[[object], str]:
    """Of flat values, with each member on a line of its own: much faster than one by one."""
    return json.JSONEncoder(ensure_ascii=False, separators=("," + line, ": ")).encode


def _between(start: str, members: list[str], end: str, line: str) -> str:
    return start + line + " " + f",{line} ".join(members) + line + end if members else start + end


def _numbers(values: list[Any] | tuple[Any, ...]) -> str:
    """`values` on one line; "" where one of them is no number, or there is none."""
    if not values or not (set(map(type, values)) <= _NUMBERS or all(map(_number, values))):
        return ""
    try:
        return _encode(values)
    except ValueError:  # one is not finite
        return _encode([plain(v) for v in values])


def _number(value: object) -> bool:
    return value is None or isinstance(value, int | float) or value in _WORDS


def from_json(text: str, kind: type[R]) -> R:
    """The record of type `kind` that `to_json` wrote. Raises BadInput where it is not one."""
    try:
        raw = json.loads(text)
        if isinstance(raw, dict) and raw.get("schema", SCHEMA) != SCHEMA:
            raise BadInput(f"expected schema {SCHEMA}, got {raw['schema']}: another version's file")
        read = _reader(typing.cast(Any, kind))
        return typing.cast(R, read(raw))
    except (KeyError, TypeError, ValueError, AttributeError) as why:
        if isinstance(why, BadInput):
            raise
        raise BadInput(f"this is no {kind.__name__} record: {why}") from why


@cache
def _reader(kind: Any) -> Callable[[Any], Any]:
    """What makes a value of type `kind` of what JSON holds."""
    if isinstance(kind, type) and is_dataclass(kind):
        return partial(_record, kind)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        some = _reader(next(a for a in args if a is not type(None)))
        return lambda raw: None if raw is None else some(raw)
    if origin is tuple:
        every = len(args) == 2 and args[1] is Ellipsis
        return partial(_row, args[0]) if every else partial(_members, args)
    if origin is dict:
        return partial(_values, args[1])
    if kind is Any:
        return _free
    return float if kind is float else partial(_leaf, kind)


def _record(kind: Any, raw: Any) -> Any:
    hints = _hints(kind)
    unknown = raw.keys() - hints.keys()
    if unknown:
        raise BadInput(f"this is no {kind.__name__} record: unknown field {min(unknown)!r}")
    return kind(**{name: _reader(hints[name])(v) for name, v in raw.items()})


_hints = cache(typing.get_type_hints)


def _row(kind: Any, raw: Any) -> tuple[Any, ...]:
    """A tuple of any length, of one type."""
    if set(map(type, _list(raw))) == {kind}:
        return tuple(raw)
    return tuple(map(_reader(kind), raw))


def _values(kind: Any, raw: Any) -> dict[str, Any]:
    if set(map(type, raw.values())) == {kind}:
        return dict(raw)
    read = _reader(kind)
    return {k: read(v) for k, v in raw.items()}


def _members(kinds: tuple[Any, ...], raw: Any) -> tuple[Any, ...]:
    return tuple(_reader(kind)(v) for v, kind in zip(_list(raw), kinds, strict=True))


def _list(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise TypeError(f"expected a list, got {raw!r}")
    return raw


def _leaf(kind: Any, raw: Any) -> Any:
    if kind in (int, str, bool) and type(raw) is not kind:
        raise TypeError(f"expected {kind.__name__}, got {raw!r}")
    return raw


def _free(raw: Any) -> Any:
    if isinstance(raw, dict):
        return {k: _free(v) for k, v in raw.items()}
    if isinstance(raw, list):
        return raw if set(map(type, raw)) <= _NUMBERS else [_free(v) for v in raw]
    return float(raw) if raw in _WORDS else raw
