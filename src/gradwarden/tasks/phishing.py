"""1,250 websites, 548 of them phishing, from the package `river` (BSD-3), split once and for all.

Source: Abdelhamid et al. 2014, UCI Website Phishing (CC BY 4.0).
Differs: the three levels 0, 0.5 and 1 of the file are the source's -1, 0 and 1.
"""

from __future__ import annotations

import csv
import gzip
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from gradwarden.core.tabular_features import Feature, Integer
from gradwarden.tasks.loader import Split
from gradwarden.tasks.packages import folder

SPLITS = (750, 150, 350)  # train, validation, test
LABEL = "is_phishing"


class Phishing(NamedTuple):
    features: tuple[Feature, ...]
    train: Split  # x [N, 9], whole numbers; y 1 is phishing
    validation: Split
    test: Split


@cache
def phishing() -> Phishing:
    """Shuffled with a fixed seed. Half of the rows have a twin. Raises MissingExtra."""
    with gzip.open(folder("river") / "datasets" / "phishing.csv.gz", "rt") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name != LABEL]
    table = np.array([[float(row[name]) for name in names] for row in rows], dtype=np.float32)
    label = np.array([int(row[LABEL]) for row in rows])
    levels = 2 * table - 1
    binary = (table != 0.5).all(0)
    table = np.where(binary, table, levels)
    order = np.random.default_rng(0).permutation(len(rows))
    x, y = torch.from_numpy(table[order]), torch.from_numpy(label[order].astype(np.int64))
    pairs = zip(names, binary.tolist(), strict=True)
    features = tuple(Integer(name, 0 if two else -1, 1) for name, two in pairs)
    parts = zip(x.split(SPLITS), y.split(SPLITS), strict=True)
    return Phishing(features, *(Split(*part) for part in parts))
