"""Fills the API reference from the rooms' exports, so that a new entry needs no line in the docs."""

from importlib import import_module
from types import ModuleType


def on_page_markdown(markdown: str, **_: object) -> str:
    """`{{ exports clip }}` on a line of its own becomes a reference to each export of the room."""
    return "\n".join(
        references(line.split()[2]) if line.startswith("{{ exports ") else line
        for line in markdown.splitlines()
    )


def references(room: str) -> str:
    package = import_module(f"gradwarden.{room}")
    found = [getattr(package, name) for name in package.__all__]
    return "\n\n".join(
        f"::: {f.__name__ if isinstance(f, ModuleType) else f'{f.__module__}.{f.__name__}'}"
        for f in found
    )
