"""Figure records as Plotly JSON: what is drawn, without colours, which belong to the style sheet.

Built as plain dicts: Plotly's Python objects would add half a second of import and nothing else.
"""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from gradwarden.core.display import Figure, Row, Series, Table
from gradwarden.report import axes
from gradwarden.report.numbers import number, percent, span

SYMBOLS = (
    "circle",
    "square",
    "diamond",
    "triangle-up",
    "triangle-down",
    "cross",
    "star",
    "hexagon",
)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A legend entry."""

    name: str
    colour: int  # index of the style sheet's series colours
    symbol: str
    marked: bool
    hollow: bool
    dashed: bool


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A figure as the templates need it."""

    figure: Figure
    anchor: str
    lines: tuple[Line, ...]
    data: str  # JSON that is safe inside a script element
    table: Table
    lost: bool  # some points are not finite and drawn at the upper edge


def colours(figures: Iterable[Figure]) -> dict[str, int]:
    """Series group (or name) -> place in the order of first appearance over the whole page."""
    order: dict[str, int] = {}
    for figure in figures:
        for series in figure.series:
            order.setdefault(series.group or series.name, len(order))
    return order


def draw(figure: Figure, anchor: str, order: dict[str, int]) -> Drawn:
    lines = _lines(figure, order)
    traces: list[dict[str, Any]] = []
    lost = False
    for index, (series, line) in enumerate(zip(figure.series, lines, strict=True)):
        own = _traces(series, line, figure)
        lost = lost or any(t["meta"]["role"] == "lost" for t in own)
        traces += [t | {"meta": t["meta"] | {"series": index, "colour": line.colour}} for t in own]
    # Bands first, so that no band hides a line.
    traces.sort(key=lambda t: t["meta"]["role"] != "band")
    return Drawn(
        figure=figure,
        anchor=anchor,
        lines=lines,
        data=embedded({"data": traces, "layout": _layout(figure, lost)}),
        table=data_table(figure),
        lost=lost,
    )


def embedded(value: object) -> str:
    """JSON that can stand inside a script element: ASCII, and no character that ends it."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def data_table(figure: Figure) -> Table:
    """The numbers of a figure, one line for each place on the x axis."""
    places = sorted({x for s in figure.series for x in s.x}, key=lambda x: (math.isnan(x), x))
    cells = [dict(zip(s.x, _texts(s, figure), strict=True)) for s in figure.series]
    rows = [Row(cells=(number(x, 4), *(c.get(x, "") for c in cells))) for x in places]
    columns = (figure.x_title, *(s.name for s in figure.series))
    return Table(title=f"{figure.title}: {figure.y_title}", columns=columns, rows=tuple(rows))


def _texts(series: Series, figure: Figure) -> list[str]:
    """Each point in words, with its interval where it has one."""

    def show(y: float) -> str:
        return percent(y) if figure.percent_y and math.isfinite(y) else number(y, 4)

    texts = [show(y) for y in series.y]
    if not (series.low and series.high):
        return texts
    ends = zip(series.low, series.high, strict=True)
    return [f"{t} ({span(show(a), show(b))})" for t, (a, b) in zip(texts, ends, strict=True)]


def _lines(figure: Figure, order: dict[str, int]) -> tuple[Line, ...]:
    """The page's colours, moved on where two groups of one figure would meet in one colour."""
    taken: dict[str, int] = {}
    lines = []
    for series in figure.series:
        key = series.group or series.name
        seen = key in taken
        if not seen:
            first = order[key] % len(SYMBOLS)
            ring = [(first + i) % len(SYMBOLS) for i in range(len(SYMBOLS))]
            free = [c for c in ring if c not in taken.values()]
            taken[key] = free[0] if free else first
        colour = taken[key]
        lines.append(
            Line(
                name=series.name,
                colour=colour,
                symbol=SYMBOLS[colour],
                marked=series.markers,
                hollow=series.dashed or seen,
                dashed=series.dashed,
            )
        )
    return tuple(lines)


def _traces(series: Series, line: Line, figure: Figure) -> list[dict[str, Any]]:
    drawable = [math.isfinite(y) and (y > 0 or not figure.log_y) for y in series.y]
    ends = list(zip(series.low, series.high, strict=True)) if series.low and series.high else []
    name = html.escape(
        series.name, quote=False
    )  # Plotly reads a small HTML of its own in every text
    trace: dict[str, Any] = {
        "type": "scatter",
        "mode": "lines+markers" if series.markers else "lines",
        "name": name,
        "x": _rounded(series.x),
        "y": [_round(y) if ok else None for y, ok in zip(series.y, drawable, strict=True)],
        "line": {"dash": "dash" if line.dashed else "solid", "width": 2},
        "cliponaxis": False,
        "hovertemplate": "%{customdata}",
        "customdata": _texts(series, figure),
        "meta": {"role": "line"},
    }
    if series.markers:
        symbol = line.symbol + ("-open" if line.hollow else "")
        trace["marker"] = {"symbol": symbol, "size": 8}
    lost = [x for x, y in zip(series.x, series.y, strict=True) if not math.isfinite(y)]
    found = [trace]
    if ends:
        found.append(_band(series, ends, figure))
    if lost:
        found.append(
            {
                "type": "scatter",
                "mode": "markers",
                "name": name,
                "x": _rounded(lost),
                "y": [0.97] * len(lost),
                "yaxis": "y2",
                "marker": {"symbol": "x-thin-open", "size": 9, "line": {"width": 2}},
                "hovertemplate": "not finite",
                "meta": {"role": "lost"},
            }
        )
    return found


def _band(series: Series, ends: Sequence[tuple[float, float]], figure: Figure) -> dict[str, Any]:
    """The area between low and high, one closed outline."""
    kept = [(x, a, b) for x, (a, b) in zip(series.x, ends, strict=True) if math.isfinite(a + b)]
    if figure.log_y:
        positive = [v for _, *ends_ in kept for v in ends_ if v > 0]
        floor = min(positive, default=1.0)
        kept = [(x, max(a, floor), max(b, floor)) for x, a, b in kept]
    return {
        "type": "scatter",
        "mode": "lines",
        "x": _rounded([x for x, _, _ in kept] + [x for x, _, _ in reversed(kept)]),
        "y": _rounded([b for _, _, b in kept] + [a for _, a, _ in reversed(kept)]),
        "fill": "toself",
        "line": {"width": 0},
        "hoverinfo": "skip",
        "meta": {"role": "band"},
    }


def _layout(figure: Figure, lost: bool) -> dict[str, Any]:
    # The page sets the title of the y axis above the plot, where it can be read upright.
    title = {"title": {"text": html.escape(figure.x_title, quote=False)}}
    xs = [x for s in figure.series for x in s.x]
    ys = [y for s in figure.series for y in (*s.y, *s.low, *s.high)]
    if figure.percent_y:
        fifths = [i / 5 for i in range(6)]
        y = {"type": "linear", "range": [0, 1.02]} | axes.ticks(
            fifths, [percent(v) for v in fifths]
        )
    else:
        y = axes.scale(ys, figure.log_y)
    x = title | axes.scale(xs, figure.log_x) | axes.measured(xs, figure.log_x)
    layout: dict[str, Any] = {"xaxis": x, "yaxis": y}
    if lost:
        layout["yaxis2"] = {
            "overlaying": "y",
            "range": [0, 1],
            "visible": False,
            "fixedrange": True,
        }
    return layout


def _rounded(values: Iterable[float]) -> list[float | None]:
    return [_round(v) for v in values]


def _round(value: float) -> float | None:
    """Six digits: more than a screen shows, and half the bytes."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
