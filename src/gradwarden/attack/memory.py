"""Work in pieces that fit into memory: one that does not is halved, and so are those after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from gradwarden.core.errors import BadInput

T = TypeVar("T")


def out_of_memory(why: BaseException) -> bool:
    """Of any device: the CPU's allocator raises a plain RuntimeError."""
    if isinstance(why, torch.OutOfMemoryError | MemoryError):
        return True
    text = str(why)
    return isinstance(why, RuntimeError) and (
        "can't allocate memory" in text or "not enough memory" in text
    )


class Pieces:
    """`size` samples in one pass, or fewer once that was too many."""

    def __init__(self, size: int) -> None:
        if size < 1:
            raise BadInput(f"batch_size must be at least 1, got {size}")
        self.asked = self.size = size

    def run(self, rows: Tensor, work: Callable[[Tensor], T]) -> list[T]:
        """`work` on `rows` [K], piece by piece, in order."""
        done: list[T] = []
        ahead = list(rows.split(self.size)) if len(rows) else []
        while ahead:
            if self._fits(ahead[0], work, done):
                del ahead[0]
            else:  # outside the handler, whose frames hold the tensors of the attempt
                self.size = max(1, min(self.size, len(ahead[0])) // 2)
                ahead = list(torch.cat(ahead).split(self.size))
        return done

    def _fits(self, rows: Tensor, work: Callable[[Tensor], T], done: list[T]) -> bool:
        try:
            done.append(work(rows))
        except (RuntimeError, MemoryError) as why:
            if not out_of_memory(why) or len(rows) == 1:
                raise
            if rows.device.type == "cuda":
                torch.cuda.empty_cache()
            return False
        return True

    @property
    def note(self) -> str:
        """What the record says of it; "" where everything fitted."""
        if self.size == self.asked:
            return ""
        return f"out of memory with {self.asked} samples in one pass: went on with {self.size}"
