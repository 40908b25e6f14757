"""Tables, figures and pictures as plain data, for the report to draw."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table; `cells` are texts, the first one names the line."""

    cells: tuple[str, ...]
    pick: bool = False  # one of the two contenders, shown in bold


@dataclass(frozen=True, kw_only=True)
class Table:
    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a figure. `low` and `high`, where given, draw a band."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    dashed: bool = False
    markers: bool = True
    group: str = ""  # series of one group share a colour


@dataclass(frozen=True, kw_only=True)
class Figure:
    id: str
    title: str
    x_title: str
    y_title: str
    series: tuple[Series, ...]
    log_x: bool = False
    log_y: bool = False
    percent_y: bool = False  # y in [0, 1], shown as percent
    says: str = ""  # what it shows, one sentence, for those who cannot see it too
    command: str = ""


@dataclass(frozen=True, kw_only=True)
class Picture:
    caption: str
    png: str  # base64
    pixels: int  # edge length at which it is drawn


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """Pictures in rows, for example adversarial images beside their originals."""

    id: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Picture, ...], ...]
    says: str = ""
    command: str = ""
