"""A record as a file, in the form that the file's name asks for."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import is_dataclass
from pathlib import Path

from gradwarden.core.errors import BadInput
from gradwarden.core.files import write_atomically
from gradwarden.core.records import to_json
from gradwarden.report import html, markdown

FORMS: dict[str, Callable[[object], str]] = {
    ".html": html.render,
    ".json": to_json,
    ".md": markdown.render,
}


def write(record: object, path: str | os.PathLike[str]) -> None:
    """Writes `record` to `path`: `.json` takes any record, `.html` those that have a page.

    `.md` takes a Comparison.
    The file is there whole or not at all.

    Raises: BadInput for another suffix or no record; StoreError where the file cannot be written.
    """
    target = Path(path)
    if not is_dataclass(record) or isinstance(record, type):
        raise BadInput(
            f"got {type(record).__name__}, expected a record such as audit.examine gives"
        )
    if target.suffix not in FORMS:
        raise BadInput(
            f"got the path {str(target)!r}, expected one that ends in .html, .json or .md"
        )
    text = FORMS[target.suffix](record)
    # File names of users may hold bytes that are no text; written as escapes, they stay readable.
    write_atomically(target, text.encode("utf-8", "backslashreplace"))
