"""Images from files that a user brings, in splits: GTSRB, PneumoniaMNIST, Fashion-MNIST (idx)."""

from __future__ import annotations

import gzip
from functools import cache
from pathlib import Path
from typing import NamedTuple
from zipfile import BadZipFile

import numpy as np
import torch

from gradwarden.core.errors import BadInput
from gradwarden.tasks.loader import Split
from gradwarden.tasks.sign_archive import photos

FASHION = tuple(
    f"{part}-{kind}-ubyte.gz"
    for part in ("train", "t10k")
    for kind in ("images-idx3", "labels-idx1")
)
FASHION_VALIDATION = 5000  # the last of the training images


class Images(NamedTuple):
    """x [N, C, H, W] in [0, 1]."""

    train: Split
    validation: Split
    test: Split


@cache
def signs(file: Path, classes: int) -> Images:
    """Of an npz with X [N, H, W, 3], y and track, or of the archive; the first `classes` kinds.

    A track is one sign passed by a car, photographed again and again: all its photos go to one
    split. Of every five tracks of a kind, one is for validation and one for the test.
    """
    if file.suffix == ".npz":
        x, y, track = _arrays(file, "X", "y", "track")
        y, track = y.astype(np.int64), track.astype(np.int64)
    else:
        x, y, track = photos(file, classes)
    lot = np.random.default_rng(0)
    place = np.empty(len(y), np.int64)
    for kind in np.unique(y):
        own = np.unique(track[y == kind])
        turn = dict(zip(lot.permutation(own).tolist(), range(len(own)), strict=True))
        place[y == kind] = [turn[t] % 5 for t in track[y == kind].tolist()]
    order = lot.permutation(len(y))
    order = order[y[order] < classes]
    chosen = (order[place[order] >= 2], order[place[order] == 0], order[place[order] == 1])
    return Images(*(_split(x[rows].transpose(0, 3, 1, 2), y[rows]) for rows in chosen))


@cache
def medical(file: Path) -> Images:
    """MedMNIST's own splits, shuffled, since its files may be in the order of the labels."""
    parts = _arrays(file, *(f"{p}_{k}" for p in ("train", "val", "test") for k in _KINDS))
    made = []
    for x, y in zip(parts[::2], parts[1::2], strict=True):
        order = np.random.default_rng(0).permutation(len(y))
        made.append(_split(x[order][:, None], y[order].reshape(-1).astype(np.int64)))
    return Images(*made)


_KINDS = ("images", "labels")


@cache
def fashion(folder: Path) -> Images:
    """60,000 images for training, the last of them for validation, and 10,000 for the test."""
    images, labels, test_images, test_labels = (_idx(folder / name) for name in FASHION)
    x, y = images[:, None], labels.astype(np.int64)
    cut = len(y) - FASHION_VALIDATION
    test = _split(test_images[:, None], test_labels.astype(np.int64))
    return Images(_split(x[:cut], y[:cut]), _split(x[cut:], y[cut:]), test)


def _idx(file: Path) -> np.ndarray:
    """An array of bytes in the format of MNIST: magic, sizes, then the values."""
    with gzip.open(file) as opened:
        content = opened.read()
    if content[:3] != b"\0\0\x08":
        raise BadInput(f"{file} must be an idx file of bytes, got one that starts {content[:3]!r}")
    shape = np.frombuffer(content, ">i4", count=content[3], offset=4)
    values = np.frombuffer(content, np.uint8, offset=4 + 4 * content[3])
    return values.reshape(shape).copy()  # of its own: torch warns of what cannot be written


def _split(x: np.ndarray, y: np.ndarray) -> Split:
    return Split(torch.from_numpy(np.ascontiguousarray(x)).float() / 255, torch.from_numpy(y))


def _arrays(file: Path, *names: str) -> list[np.ndarray]:
    """Those of the npz `file`. Raises BadInput where it is none, or one of them is not in it."""
    try:
        with np.load(file) as found:
            missing = [name for name in names if name not in found.files]
            if not missing:
                return [found[name] for name in names]
            got = ", ".join(found.files)
    except (ValueError, EOFError, AttributeError, BadZipFile) as why:
        raise BadInput(f"{file} must be an npz file, got one that numpy cannot read") from why
    raise BadInput(f"{file} must hold the arrays {', '.join(names)}, got {got}")
