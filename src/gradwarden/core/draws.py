"""Random numbers keyed by (seed, what for, sample id): the same whatever the batch, order or rank.

Every sample has a generator of its own, so leaving a sample out, or moving it to another batch,
changes no other sample's draws.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def seed_of(*key: object) -> int:
    """A 63-bit seed from any key whose `repr` is stable."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


class Draws:
    """One CPU generator per sample; `ids` [N] name the samples, `purpose` the use."""

    def __init__(self, seed: int, ids: Sequence[int], *purpose: object) -> None:
        self._generators = [
            torch.Generator().manual_seed(seed_of(seed, int(i), *purpose)) for i in ids
        ]

    def only(self, rows: Sequence[int]) -> Draws:
        """Of the samples `rows` alone; their generators go on where they are."""
        some = object.__new__(Draws)
        some._generators = [self._generators[row] for row in rows]
        return some

    def uniform(self, like: Tensor, *shape: int) -> Tensor:
        """[N, *shape] in [0, 1) with the dtype and device of `like`; `shape` as `like` if empty."""
        return self._stack(torch.rand, like, shape)

    def normal(self, like: Tensor, *shape: int) -> Tensor:
        """[N, *shape], standard normal."""
        return self._stack(torch.randn, like, shape)

    def _stack(self, draw: Callable[..., Tensor], like: Tensor, shape: tuple[int, ...]) -> Tensor:
        if len(like) != len(self._generators):
            raise ValueError(f"{len(self._generators)} samples have ids, got {len(like)} samples")
        size = shape or tuple(like.shape[1:])
        if not self._generators:
            return like.new_empty((0, *size))
        # Drawn in float32 and cast, so that every dtype sees the same draw.
        rows = [draw(size, generator=g) for g in self._generators]
        return torch.stack(rows).to(dtype=like.dtype, device=like.device)
