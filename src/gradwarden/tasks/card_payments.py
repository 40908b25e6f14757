"""Card payments from the public creditcard.csv, or a quantised sample of it as an npz.

Source: Dal Pozzolo et al. 2015, Calibrating probability with undersampling (ULB, Worldline).
Differs: equal rows are kept once, since a twin in another split would be a leak.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
import torch

from gradwarden.core.errors import BadInput
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Feature, Integer, Real
from gradwarden.tasks.evasion import Table, stratified
from gradwarden.tasks.loader import Split

NAMES = ("creditcard.csv", "ulb_creditcard_quantised.npz")
SOURCE = "https://www.kaggle.com/datasets/mlg-ulb/creditcardfraud"
COMPONENTS = tuple(f"V{k}" for k in range(1, 29))
COLUMNS = ("Time", *COMPONENTS, "Amount", "Class")  # of creditcard.csv
SHARES = (0.5, 0.2)  # train, validation; the rest is the test split
WIDTH = 4.0  # standard deviations, or whole steps where those are wider


@cache
def payments(file: Path, movable: int) -> Table:
    """Where the last `movable` components, and the amount downwards, may change."""
    names, columns, y = (_csv if file.suffix == ".csv" else _npz)(file)
    rows, first = np.unique(columns, axis=0, return_index=True)
    table = torch.from_numpy(rows).float()
    label = torch.from_numpy(y[first]).long()
    features = tuple(_feature(n, table[:, k], movable) for k, n in enumerate(names))
    splits = (Split(table[some], label[some]) for some in stratified(label, SHARES))
    return Table(Tabular(features=features), *splits)


def _csv(file: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    with file.open(newline="") as opened:
        head = next(csv.reader(opened))
        if tuple(head) != COLUMNS:
            raise BadInput(f"{file} must have the columns Time, V1 ... V28, Amount, Class")
        table = np.loadtxt(opened, delimiter=",", quotechar='"')
    return list(COLUMNS[:-1]), table[:, :-1], table[:, -1]


def _npz(file: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    with np.load(file) as found:
        if not {"V", "Amount", "y"} <= set(found.files):
            raise BadInput(f"{file} must hold the arrays V, Amount and y, got {found.files}")
        columns = np.column_stack([found["V"], found["Amount"]]).astype(np.float64)
        return [*COMPONENTS, "Amount"], columns, found["y"].astype(np.int64)


def _feature(name: str, column: torch.Tensor, movable: int) -> Feature:
    """Ranges are those seen; whole numbers stay whole."""
    low, high = float(column.min()), float(column.max())
    whole = bool((column == column.round()).all())
    width = max(WIDTH * float(column.std()), WIDTH * whole)
    change = "any" if name in COMPONENTS[len(COMPONENTS) - movable :] else "none"
    change = "decrease" if name == "Amount" else change
    return (Integer if whole else Real)(name, low, high, change=change, width=width)
