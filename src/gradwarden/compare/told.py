"""What the answers amount to, for two contenders of one purpose or of two."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gradwarden.compare import head_to_head
from gradwarden.compare.between import Pair
from gradwarden.compare.contenders.contender import Contender as Side
from gradwarden.compare.picks import SECURE, TRAIN
from gradwarden.compare.verdict import Names, bottom_line, contender, summary
from gradwarden.core.comparison import Answer, Contender, Point

FEW = 2  # tasks that a title names


class Told(NamedTuple):
    """What the answers amount to, for contenders of one purpose or of two."""

    pair: Pair
    answers: Mapping[str, Answer]

    @property
    def names(self) -> Names:
        train, secure = self.pair.sides(TRAIN)[0], self.pair.sides(SECURE)[0]
        return Names(train.noun, secure.noun, train.title, secure.title, train.what, secure.what)

    @property
    def places(self) -> dict[str, str]:
        first, second = self._both
        return head_to_head.places(first.noun, second.noun)

    @property
    def _both(self) -> tuple[Side, Side]:
        """The side that is judged, and the other one or nothing."""
        judged = self.pair.sides(self.pair.alike)
        other = next(one for one in self.pair if one != judged[0])
        return judged[0], other

    def title(self, tasks: Sequence[str]) -> str:
        first, second = self._both if self.pair.alike else (self.pair.first, self.pair.second)
        if len(tasks) > FEW:
            return f"{first.title} vs {second.title[:1].lower()}{second.title[1:]}"
        return f"{first.title} and {second.noun} on {', '.join(tasks)}"

    @property
    def summary(self) -> tuple[Point, ...]:
        if self.pair.alike:
            return head_to_head.summary(self.pair.alike, self.answers, self.places)
        return summary(self.answers, self.names)

    @property
    def bottom_line(self) -> tuple[Point, ...]:
        if self.pair.alike:
            return head_to_head.bottom_line(self.pair.alike, self.answers, self.places)
        return bottom_line(self.answers, self.names)

    @property
    def contenders(self) -> tuple[Contender, ...]:
        if not self.pair.alike:
            return tuple(contender(p, self.answers, self.names) for p in (TRAIN, SECURE))
        purpose, (first, second) = self.pair.alike, self._both
        return tuple(
            head_to_head.contender(purpose + which, one.what, self.answers, self.places)
            for which, one in ((head_to_head.FIRST, first), (head_to_head.SECOND, second))
        )
