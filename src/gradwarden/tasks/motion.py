"""Shoulder exercises seen by a smartwatch, from the package `seglearn` (BSD-3), split by subject.

Source: Burns et al. 2018, Physiological Measurement 39(7), arXiv:1802.01489 (the recordings).
Differs: overlapping windows of 2 s at 50 Hz, in [0, 1]: 0.5 is rest, the ends are 4 g or 10 rad/s.
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gradwarden.tasks.packages import folder

LENGTH, STRIDE = 100, 50
REACH = np.array([4.0, 4.0, 4.0, 10.0, 10.0, 10.0])  # g and rad/s; 1 in 5,000 readings lies beyond
VALIDATION, TEST = (8,), (9, 10)  # of the subjects 1 to 10


class Windows(NamedTuple):
    x: Tensor  # [N, 6, 100] float32 in [0, 1]: acceleration x y z, rotation x y z
    y: Tensor  # [N] int64, 0 to 6: the exercise


class Motion(NamedTuple):
    train: Windows  # subjects 1 to 7
    validation: Windows
    test: Windows


@cache
def motion() -> Motion:
    """4,677 windows, shuffled with a fixed seed inside each split. Raises MissingExtra."""
    path = folder("seglearn") / "data" / "watch_dataset.npy"
    table: dict[str, Any] = np.load(path, allow_pickle=True).item()  # ours by installation
    subjects = np.asarray(table["subject"])
    train = ~np.isin(subjects, VALIDATION + TEST)
    parts = (train, np.isin(subjects, VALIDATION), np.isin(subjects, TEST))
    return Motion(*(_windows(table["X"], table["y"], part) for part in parts))


def _windows(series: list[np.ndarray], labels: np.ndarray, chosen: np.ndarray) -> Windows:
    """Of the series [T, 6] that are `chosen` [series] bool."""
    cut, kinds = [], []
    for at in chosen.nonzero()[0]:
        scaled = (series[at] / (2 * REACH) + 0.5).clip(0.0, 1.0).astype(np.float32)
        windows = np.lib.stride_tricks.sliding_window_view(scaled, LENGTH, axis=0)[::STRIDE]
        cut.append(windows)
        kinds.append(np.full(len(windows), labels[at], np.int64))
    x, y = np.concatenate(cut), np.concatenate(kinds)
    order = np.random.default_rng(0).permutation(len(x))
    return Windows(torch.from_numpy(x[order]), torch.from_numpy(y[order]))
