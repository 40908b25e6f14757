"""Which tasks a comparison is about: ours by name, a user's as an object, each tried before any run."""

from __future__ import annotations

import difflib
import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any, NamedTuple

import torch
from torch import nn

from gradwarden.compare.picks import SECURE, TRAIN
from gradwarden.compare.training import OPTIMIZERS
from gradwarden.core.errors import BadInput, GradwardenError, MissingData, MissingExtra
from gradwarden.core.provenance import NAME
from gradwarden.tasks.nets import weights
from gradwarden.tasks.task import SecurityTask, TrainingTask

LEAST_STEPS = 32  # that advice on a threshold needs
TAKEN = "gradwarden_user_"  # how the command line calls a file whose own name is taken


class Absent(NamedTuple):
    """A task that this machine cannot run, and why."""

    name: str
    field: str
    purpose: str  # TRAIN or SECURE
    why: str


class Subjects(NamedTuple):
    training: tuple[TrainingTask, ...]
    security: tuple[SecurityTask, ...]
    absent: tuple[Absent, ...]


# The rows of the whole comparison, field by field; the last ones take longer than an hour.
EVERY = (
    "rnn-temporal-order",
    "lstm-text",
    "gpt-text",
    "demand-forecast",
    "motion-classify",
    "cartpole-ppo",
    "lane-keeping",
    "traffic-signs",
    "phishing",
    "card-fraud",
    "breast-cancer",
    "thyroid",
    "pneumonia",
    "digits-cnn",
    "fashion-cnn",
)
LONG = ("lunarlander-ppo",)


def every_task(purposes: Collection[str], long: bool) -> Subjects:
    """All of ours that are for one of `purposes`; where `long`, at full size."""
    tasks = [named(name) for name in (*EVERY, *(LONG if long else ()))]
    mine = [task for task in tasks if (TRAIN if _trains(task) else SECURE) in purposes]
    return chosen([type(task).full() if long else task for task in mine], purposes)


def chosen(asked: Sequence[object], purposes: Collection[str] = (TRAIN, SECURE)) -> Subjects:
    """`asked` are names of our tasks, or tasks, all for one of `purposes`.

    Raises BadInput; a task whose data are absent raises where no other is there.
    """
    training: list[TrainingTask] = []
    security: list[SecurityTask] = []
    absent: list[Absent] = []
    failed: list[GradwardenError] = []
    for one in asked:
        task: Any = one if not isinstance(one, str) else named(one)
        trains = _trains(task)
        if (TRAIN if trains else SECURE) not in purposes:
            raise BadInput(
                f"the task {task.name} is for {TRAIN if trains else SECURE}, and both contenders are "
                f"for {min(purposes)}: name a task for that, or other contenders"
            )
        taken = [t.name for group in (training, security, absent) for t in group]
        if task.name in taken:
            raise BadInput(f"two tasks are called {task.name!r}, expected different names")
        try:
            dict(task.data)
            if not _ours(task):
                with weights(0, task.name):
                    (_try_training if trains else _try_security)(task)
        except (MissingData, MissingExtra) as why:
            absent.append(Absent(task.name, task.field, TRAIN if trains else SECURE, str(why)))
            failed.append(why)
            continue
        (training if trains else security).append(task)
    if failed and not training and not security:
        raise failed[0]
    return Subjects(tuple(training), tuple(security), tuple(absent))


def named(name: str) -> Any:
    """Our task of that name, with default options."""
    room = import_module("gradwarden.tasks")
    kinds = [getattr(room, export) for export in room.__all__]
    known: dict[str, Any] = {
        kind.name: kind for kind in kinds if hasattr(kind, "__dataclass_fields__")
    }
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        raise BadInput(
            f"unknown task {name!r}: " + (f"did you mean {near[0]!r}? " if near else "") + "Choose "
            f"from {', '.join(known)}, or give a task of your own: a file as my_task.py:task on "
            "the command line, the object in Python"
        )
    return known[name]()


def _trains(task: object) -> bool:
    """Whether it is for training. Raises BadInput where it is no task that can be sent and stored."""
    kind = type(task)
    if not (TrainingTask in kind.__mro__ or SecurityTask in kind.__mro__):
        raise BadInput(
            f"got a {kind.__name__}, expected an instance of a class that inherits "
            "gradwarden.tasks.TrainingTask or SecurityTask; `gradwarden new-task` writes one"
        )
    frozen = is_dataclass(kind) and kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    if not frozen:
        raise BadInput(
            f"{kind.__name__} must be a frozen dataclass, @dataclass(frozen=True, kw_only=True): "
            "its repr is what a run is found again by"
        )
    if kind.__module__.startswith(TAKEN):
        raise BadInput(
            f"the file of {kind.__name__} has the name of another module, "
            f"{kind.__module__.removeprefix(TAKEN)!r}: rename it"
        )
    return TrainingTask in kind.__mro__


def _ours(task: object) -> bool:
    return type(task).__module__.partition(".")[0] == NAME


@contextmanager
def _trying(task: Any, what: str) -> Iterator[None]:
    try:
        yield
    except GradwardenError:
        raise
    except Exception as why:
        line = (str(why).splitlines() or [""])[0]
        raise BadInput(f"task {task.name}: {what} raised {type(why).__name__}: {line}") from why


def _expect(task: Any, held: bool, what: str) -> None:
    if not held:
        raise BadInput(f"task {task.name}: {what}")


def _try_model(task: Any) -> nn.Module:
    """The untrained net of seed 0, which must come out the same each time."""
    with _trying(task, "model(0)"):
        with weights(0, task.name):
            first = task.model(0)
        with weights(0, task.name):
            second = task.model(0)
    _expect(task, isinstance(first, nn.Module), f"model(0) gave a {type(first).__name__}")
    one, two = first.state_dict(), second.state_dict()
    same = one.keys() == two.keys() and all(torch.equal(one[k], two[k]) for k in one)
    _expect(
        task,
        same,
        "model(0) gave other weights the second time, expected the same for the same seed: draw "
        "with torch's generator alone",
    )
    found: nn.Module = first
    return found


def _try_training(task: Any) -> None:
    known = ", ".join(OPTIMIZERS)
    _expect(
        task, task.optimizer in OPTIMIZERS, f"optimizer must be of {known}, got {task.optimizer!r}"
    )
    _expect(task, task.rate > 0, f"rate must be above 0, got {task.rate}")
    _expect(
        task,
        task.steps >= LEAST_STEPS,
        f"steps must be at least {LEAST_STEPS}, for advice on a threshold, got {task.steps}",
    )
    model = _try_model(task)
    with _trying(task, "batches or loss"):
        loss = task.loss(model, next(iter(task.batches(0, model))))
    _expect(
        task,
        isinstance(loss, torch.Tensor) and loss.ndim == 0 and loss.requires_grad,
        "loss must give one number with a gradient, a tensor of shape []",
    )
    _expect(task, math.isfinite(float(loss.detach())), "the first loss is not finite")
    with _trying(task, "scores"):
        _try_scores(task, task.scores(model, "validation"))


def _try_security(task: Any) -> None:
    model = _try_model(task).eval()
    with _trying(task, "held_out, threat or model"):
        x, y = task.held_out()
        task.threat.check(x, y)
        shape = tuple(model(x[:2]).shape)
    wanted = (len(x[:2]), len(task.classes))
    _expect(task, shape == wanted, f"model gave {shape}, expected logits of shape {wanted}")
    _expect(task, int(y.max()) < len(task.classes), f"a label is {int(y.max())}, without a class")
    with _trying(task, "loader"):
        _expect(task, next(iter(task.loader(0)), None) is not None, "the training split is empty")
    with _trying(task, "scores"):
        _try_scores(task, task.scores(model, "validation"))


def _try_scores(task: Any, found: dict[str, float]) -> None:
    first = task.metrics[0].name
    _expect(task, first in found, f"scores gave {sorted(found)}, expected {first!r} among them")
