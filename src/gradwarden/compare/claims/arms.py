"""The arms of the training task side by side, as every claim on clipping shows them."""

from __future__ import annotations

from collections.abc import Callable

from gradwarden.compare.ladder import Ladder, Ladders
from gradwarden.compare.picks import Picks
from gradwarden.core.display import Row, Table


def table(
    title: str,
    columns: tuple[str, ...],
    groups: Ladders,
    picks: Picks,
    cells: Callable[[Ladder, str], tuple[str, ...]],
    note: str = "",
) -> Table:
    """One line an arm; `cells(ladder, rule)` gives what follows its name."""
    rows = tuple(
        Row(
            cells=(f"{net}, {optimizer}, {rule or 'no clipping'}", *cells(ladder, rule)),
            pick=rule == picks.clip,
        )
        for (net, optimizer), ladder in groups.items()
        for rule in ladder.rules
    )
    return Table(title=title, columns=("arm", *columns), rows=rows, note=note)


def rates(ladder: Ladder, rule: str) -> str:
    return ", ".join(f"{rate:g}" for rate in ladder.rates(rule))


def best_rate(ladder: Ladder, rule: str) -> str:
    """The rate that validation chose."""
    rate = ladder.chosen(rule)
    return "none" if rate is None else f"{rate:g}"
