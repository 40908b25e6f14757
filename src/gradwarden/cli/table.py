"""A table from a .csv file: a header, a label a row, and numbers."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gradwarden.core.errors import BadInput
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Category

Rows = list[tuple[int, list[str]]]  # number of the line, cells


def read(path: Path, label: str, schema: Tabular | None) -> tuple[Tensor, Tensor]:
    """x [N, D] float64 and y [N] int64, from a file whose first line names the columns.

    With a `schema`, x has its features in its order, a category from one column of its values or
    from columns "name=value"; other columns are left alone. Without, every column but `label`.
    Raises BadInput, with the line.
    """
    header, rows = _rows(path)
    table = _Table(path, header, rows)
    y = torch.tensor([table.whole(line, cell) for line, cell in table.cells(label)])
    if schema is None:
        x = [table.numbers(name) for name in header if name != label]
    else:
        x = [column for feature in schema.features for column in _columns(table, feature)]
    if not x:
        raise BadInput(f"{path} has no column beside the labels {label!r}")
    return torch.tensor(x, dtype=torch.float64).T.contiguous(), y


def _columns(table: _Table, feature: object) -> Iterator[list[float]]:
    """One list a column of x."""
    name = str(getattr(feature, "name", ""))
    if not isinstance(feature, Category):
        yield table.numbers(name)
    elif name in table.header:
        found = table.one_of(name, feature.values)
        yield from ([float(cell == value) for cell in found] for value in feature.values)
    else:
        yield from (table.numbers(f"{name}={value}") for value in feature.values)


class _Table:
    """The cells of a file by column, with the lines that they stand on."""

    def __init__(self, path: Path, header: list[str], rows: Rows) -> None:
        self.path, self.header, self.rows = path, header, rows

    def cells(self, name: str) -> list[tuple[int, str]]:
        if name not in self.header:
            raise BadInput(f"{self.path} has no column {name!r}: {_listed(self.header)}")
        at = self.header.index(name)
        return [(line, cells[at]) for line, cells in self.rows]

    def numbers(self, name: str) -> list[float]:
        return [self._number(name, line, cell) for line, cell in self.cells(name)]

    def one_of(self, name: str, values: Sequence[str]) -> list[str]:
        for line, cell in self.cells(name):
            if cell not in values:
                raise self._wrong(name, line, cell, f"one of {', '.join(values)}")
        return [cell for _, cell in self.cells(name)]

    def whole(self, line: int, cell: str) -> int:
        try:
            return int(cell)
        except ValueError:
            raise BadInput(
                f"{self.path}, line {line}: the label is {cell!r}, expected a class as a whole "
                "number from 0"
            ) from None

    def _number(self, name: str, line: int, cell: str) -> float:
        try:
            return float(cell)
        except ValueError:
            raise self._wrong(name, line, cell, "a number") from None

    def _wrong(self, name: str, line: int, cell: str, expected: str) -> BadInput:
        return BadInput(f"{self.path}, line {line}: {name!r} is {cell!r}, expected {expected}")


def _rows(path: Path) -> tuple[list[str], Rows]:
    """Blank lines are left out."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file, skipinitialspace=True)
        lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    if len(lines) < 2:
        raise BadInput(f"{path} needs a line that names the columns and at least one of numbers")
    (_, header), *rows = lines
    twice = next((name for name in header if header.count(name) > 1), None)
    if twice is not None:
        raise BadInput(f"{path} has two columns called {twice!r}")
    for line, cells in rows:
        if len(cells) != len(header):
            raise BadInput(
                f"{path}, line {line} has {len(cells)} cells, expected {len(header)} as in the first"
            )
    return header, rows


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(names[:12])
    return f"it has {shown}{' and others' if len(names) > 12 else ''}"
