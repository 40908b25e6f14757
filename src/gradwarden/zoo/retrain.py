"""Trains models again, into another folder, and compares them with the stored ones."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple, TypeVar

import torch

from gradwarden.attack.chance import seeded
from gradwarden.core.errors import BadInput
from gradwarden.zoo.registry import entry
from gradwarden.zoo.sets import samples
from gradwarden.zoo.store import WEIGHTS, load, train

POINTS = 2.0  # that two trainings may differ by
T = TypeVar("T")


class Retrained(NamedTuple):
    name: str
    stored: float  # clean accuracy on the whole test split
    again: float
    seconds: float

    @property
    def agrees(self) -> bool:
        """Within 2 points; on one and the same machine, the two are equal."""
        return round(100 * abs(self.stored - self.again), 6) <= POINTS


def retrain(
    names: Sequence[str], folder: Path, on_done: Callable[[Retrained], object], processes: int = 2
) -> list[Retrained]:
    """Trains each entry from scratch into `folder`; `on_done` is told each as it ends."""
    if folder.resolve() == WEIGHTS.resolve():
        raise BadInput(f"{folder} holds the stored weights: name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    return shared(again, [(name, folder) for name in names], on_done, processes)


def again(name: str, folder: Path) -> Retrained:
    """One entry, in this process."""
    began = time.perf_counter()
    train(name, folder)
    seconds = time.perf_counter() - began
    return Retrained(name, accuracy(name, WEIGHTS), accuracy(name, folder), seconds)


def accuracy(name: str, folder: Path) -> float:
    """Clean, of one draw where the model draws, on the whole test split."""
    one, model = entry(name), load(name, blind=True, folder=folder)
    x, y = samples(one.data).test
    with torch.no_grad(), seeded(x.device, 0, one.net, "accuracy"):
        return float((model(x).argmax(1) == y).double().mean())


def shared(
    job: Callable[..., T],
    calls: Sequence[tuple[object, ...]],
    on_done: Callable[[T], object],
    processes: int,
) -> list[T]:
    """`job(*call)` of every call, in the order of `calls`, by `processes` of one thread each."""
    if processes < 1:
        raise BadInput(f"processes must be at least 1, got {processes}")
    if processes == 1 or len(calls) == 1:
        done = []
        with one_thread():
            for call in calls:
                done.append(job(*call))
                on_done(done[-1])
        return done
    with ProcessPoolExecutor(
        processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
    ) as pool:
        waiting = [pool.submit(job, *call) for call in calls]
        for future in as_completed(waiting):
            on_done(future.result())
        return [future.result() for future in waiting]


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums in the same order wherever this runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
