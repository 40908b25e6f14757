"""One cascade on several processes (`torchrun`): each takes whole batches, all end with the same.

Every process holds all samples, and works on the batches whose number is its own; after each
attack they tell each other what fell. The batches are those of one process alone, so the results
are bit-equal to its.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar, cast

import torch.distributed as dist

from gradwarden.core.errors import BadInput, GradwardenError

T = TypeVar("T")


class ShardFailed(GradwardenError, RuntimeError):
    """Another process of the same cascade raised; its own output says what."""


class _Failed(NamedTuple):
    says: str


class Team(NamedTuple):
    """The processes that work together, and which of them this is."""

    rank: int = 0
    size: int = 1

    def mine(self, number: int) -> bool:
        return number % self.size == self.rank

    def each(self, work: Callable[[], T]) -> list[T]:
        """What `work` returned on every process, by rank; raises on all where it raises on one."""
        if self.size == 1:
            return [work()]
        try:
            mine = work()
        except BaseException as why:  # the others wait for an answer, whatever it is
            self._tell(_Failed(f"{type(why).__name__}: {why}"))
            raise
        every = self._tell(mine)
        for rank, part in enumerate(every):
            if isinstance(part, _Failed):
                raise ShardFailed(f"process {rank} failed with {part.says}")
        return cast("list[T]", every)

    def _tell(self, mine: object) -> list[object]:
        """What every process told, by rank."""
        every: list[object] = [None] * self.size
        dist.all_gather_object(every, mine)
        return every


def team(sharded: bool | None) -> Team:
    """All processes of `torch.distributed` where it is initialised; `sharded=False`: this one."""
    ready = dist.is_available() and dist.is_initialized()
    if sharded and not ready:
        raise BadInput(
            "sharded=True needs torch.distributed: start with torchrun and call init_process_group"
        )
    if sharded is False or not ready:
        return Team()
    return Team(dist.get_rank(), dist.get_world_size())


def check_alike(identities: Sequence[dict[str, str]]) -> None:
    """Raises BadInput where the processes were not given the same cascade."""
    first = identities[0]
    for rank, other in enumerate(identities):
        parts = [name for name in first if first[name] != other[name] and name != "clean logits"]
        if parts:
            raise BadInput(
                f"processes 0 and {rank} differ in {', '.join(parts)}: give every process the same"
            )
