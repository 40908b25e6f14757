"""Places on a page that links lead to."""

from __future__ import annotations

import re


class Anchors:
    """Element ids made from names: readable where the name allows it, and never twice the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def new(self, *words: str) -> str:
        stem = "-".join(re.sub(r"[^A-Za-z0-9_]+", "-", word).strip("-") for word in words)
        stem = stem.strip("-") or "item"
        name, n = stem, 1
        while name in self._taken:
            n += 1
            name = f"{stem}-{n}"
        self._taken.add(name)
        return name
