"""The loop that every trainer here shares; a trainer is what it makes of one batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn, optim
from torch.nn.functional import cross_entropy

from gradwarden.core.devices import device_of
from gradwarden.core.draws import seed_of
from gradwarden.core.errors import BadInput
from gradwarden.core.protocols import Progress
from gradwarden.harden.watch import Watch

Batches = Iterable[tuple[Tensor, Tensor]]
TrainingLoss = Callable[[Tensor, Tensor], Tensor]  # logits [N, classes], y [N] -> a number


@dataclass(frozen=True)
class CrossEntropy:
    """The mean over the batch. An object, for its `repr` is the same in every run."""

    def __call__(self, logits: Tensor, y: Tensor) -> Tensor:
        return cross_entropy(logits, y)


CROSS_ENTROPY = CrossEntropy()


class Batch(NamedTuple):
    """What a trainer is given for a step; `ids` and `seed` key its draws."""

    x: Tensor  # [N, ...]
    y: Tensor  # [N]
    ids: range
    seed: int  # another one each epoch


class Course(NamedTuple):
    """What the loop needs to know of a trainer."""

    epochs: int
    objective: Callable[[nn.Module, Batch], Tensor]  # the loss to be minimised, a number
    check: Callable[[Tensor, Tensor], None]  # raises BadInput for x, y that cannot be used
    one_step: bool = False  # trained on the points of one step: may overfit to those alone


@contextmanager
def answering(model: nn.Module) -> Iterator[None]:
    """Within, the model is in eval mode; after, each module is in the mode it was in.

    An attack's passages in train mode would move the averages of batch norm.
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


def train(
    course: Course,
    model: nn.Module,
    loader: Batches,
    optimizer: optim.Optimizer,
    *,
    on_progress: Progress | None,
    seed: int,
    first_epoch: int,
    watch: Watch | None,
) -> nn.Module:
    """Trains `model` in place with the user's `optimizer`; returned in eval mode.

    `loader` gives (x [N, ...], y [N]) afresh for each epoch, on any device. The attack sees the model in eval
    mode, the step in train mode (what is frozen in a model that comes in train mode stays so).
    Whatever hooks `optimizer.step`, a clipper for one, works here as in any loop. `on_progress`
    counts epochs. `watch` measures held-out accuracy after each epoch, may end the training, and
    gives back the weights that did best. Interrupted, the model holds the weights of the last whole
    step; with those and the optimizer's state, `first_epoch` goes on where it was, with the same
    draws. Raises BadInput.
    """
    if first_epoch < 0:
        raise BadInput(f"first_epoch must be at least 0, got {first_epoch}")
    if not model.training:
        model.train()
    if watch is not None:
        watch.start(model)
    for epoch in range(first_epoch, course.epochs):
        check = course.check if epoch == first_epoch else None
        _epoch(course.objective, model, loader, optimizer, check, seed_of(seed, epoch))
        if watch is not None:
            with answering(model):
                watch.look(model, epoch, one_step=course.one_step)
        if on_progress is not None:
            on_progress(epoch + 1, course.epochs)
        if watch is not None and watch.stopped is not None:
            break
    if watch is not None:
        watch.put_best(model)
    return model.eval()


def _epoch(
    objective: Callable[[nn.Module, Batch], Tensor],
    model: nn.Module,
    loader: Batches,
    optimizer: optim.Optimizer,
    check: Callable[[Tensor, Tensor], None] | None,
    seed: int,
) -> None:
    samples, place = 0, device_of(model)
    for given, labels in loader:
        x, y = given.to(place), labels.to(place)
        if not samples and check is not None:
            check(x, y)
        loss = objective(model, Batch(x, y, range(samples, samples + len(x)), seed))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        samples += len(x)
    if not samples:
        raise BadInput("the loader is empty, expected batches of (x, y)")


def check_epochs(epochs: int) -> None:
    if epochs < 1:
        raise BadInput(f"epochs must be at least 1, got {epochs}")
