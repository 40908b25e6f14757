"""Tables of what a room offers, read from its exports: a new entry needs no line here."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from importlib import import_module
from typing import Any

SOURCE = r"(?ms)^Source: (.*?)(?=\n(?:Differs|Raises)\b|\n\n|\Z)"


def entries(room: str, *marks: str) -> Iterator[type]:
    """The exported dataclasses of `room` that have one of the attributes `marks`."""
    package = import_module(f"gradwarden.{room}")
    for name in package.__all__:
        found = getattr(package, name)
        if (
            isinstance(found, type)
            and is_dataclass(found)
            and any(hasattr(found, m) for m in marks)
        ):
            yield found


def show(title: str, kinds: Iterator[type]) -> None:
    """Prints name, options with their defaults, purpose and source of each."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", show_lines=True)
    for column in ("Name", "Options", "What it does", "Source"):
        table.add_column(column, overflow="fold")
    for kind in kinds:
        table.add_row(_name(kind), options(kind), purpose(kind), source(kind))
    Console(markup=False, highlight=False).print(table)


def _name(kind: type) -> str:
    name = getattr(kind, "name", None)
    return name if isinstance(name, str) else kind.__name__


def options(kind: Any) -> str:
    """As they are written in a call, one a line; those without a value must be given."""
    return "\n".join(map(_option, fields(kind)))


def _option(field: Field[Any]) -> str:
    if field.default is not MISSING:
        return f"{field.name}={field.default!r}"
    if field.default_factory is not MISSING:
        return f"{field.name}={field.default_factory()!r}"
    return field.name


def purpose(kind: type) -> str:
    """The first sentence of the docstring's first paragraph."""
    paragraph = " ".join((inspect.getdoc(kind) or "").split("\n\n")[0].split())
    return re.split(r"(?<=\.)\s", paragraph)[0]


def source(kind: type) -> str:
    """What follows "Source:" in the docstring of the class, or else of its module."""
    for text in (inspect.getdoc(kind), inspect.getdoc(inspect.getmodule(kind))):
        found = re.search(SOURCE, text or "")
        if found:
            return " ".join(found[1].split())
    return ""
