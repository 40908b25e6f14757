"""One progress for an audit of many parts."""

from __future__ import annotations

from collections.abc import Mapping

from gradwarden.core.protocols import Progress


class Pace:
    """Tells `told` how much of the `expected` work of all parts is done; any unit will do.

    A part counts what it was expected to cost, in shares of what it says of itself, so that the
    total is known from the beginning and never grows.
    """

    def __init__(
        self, told: Progress | None = None, expected: Mapping[str, int] | None = None
    ) -> None:
        self.told, self.expected = told, dict(expected or {})
        self.total, self.past = sum(self.expected.values()), 0
        self.most = 0

    def part(self, name: str) -> Progress | None:
        """The progress of the part `name`; parts that nobody expects go by in silence."""
        cost = self.expected.pop(name, 0)
        if self.told is None or not cost:
            return None
        begun = self.past
        self.past += cost

        def tell(done: int, total: int) -> None:
            self._say(begun + (cost * done // total if total else cost))

        return tell

    def skip(self, name: str) -> None:
        """There is nothing to do there; or it is done."""
        self.past += self.expected.pop(name, 0)
        self._say(self.past)

    def end(self) -> None:
        """All is done, whatever else was expected."""
        self._say(self.total)

    def _say(self, done: int) -> None:
        self.most = max(self.most, done)
        if self.told is not None and self.total:
            self.told(self.most, self.total)
