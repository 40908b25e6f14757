"""What masks made by training share: one pass over the data, and telling how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from torch import Tensor, nn, optim

from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress

Batches = Iterable[tuple[Tensor, Tensor]]  # (x [N, ...], y [N]), afresh for each pass
MakeOptimizer = Callable[[Iterable[nn.Parameter]], optim.Optimizer]


def train_pass(
    loader: Batches, optimizer: optim.Optimizer, loss: Callable[[Tensor, Tensor], Tensor]
) -> None:
    """One step for each batch, moved to where the parameters are. Raises BadInput for none."""
    place = optimizer.param_groups[0]["params"][0].device
    seen = False
    for x, y in loader:
        optimizer.zero_grad()
        loss(x.to(place), y.to(place)).backward()
        optimizer.step()
        seen = True
    if not seen:
        raise BadInput("the loader is empty, expected batches of (x, y)")


def first_batch(loader: Batches) -> tuple[Tensor, Tensor]:
    """Raises BadInput where there is none."""
    for x, y in loader:
        return x, y
    raise BadInput("the loader is empty, expected batches of (x, y)")


def tell(on_progress: Progress | None, done: int, total: int) -> None:
    if on_progress is not None:
        on_progress(done, total)
