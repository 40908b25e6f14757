"""What may be compared: our tasks by name, a user's as they are; each fault is one sentence."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import pytest
import torch
from own_tasks import Flags, Slope
from torch import Tensor, nn

from gradwarden.compare.subjects import EVERY, LONG, chosen, every_task
from gradwarden.core.errors import BadInput, MissingData
from gradwarden.tasks.breast_cancer import BreastCancer
from gradwarden.tasks.card_fraud import CardFraud

COUNT = itertools.count()


@dataclass(frozen=True, kw_only=True)
class OtherWeights(Slope):
    def model(self, seed: int) -> nn.Module:
        return nn.Linear(1, 1, bias=next(COUNT) % 2 == 0)


@dataclass(frozen=True, kw_only=True)
class Drawn(Slope):
    """Seeds nothing itself."""

    def model(self, seed: int) -> nn.Module:
        return nn.Linear(1, 1)


@dataclass(frozen=True, kw_only=True)
class ManyLosses(Slope):
    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        found: Tensor = model(batch)
        return found


@dataclass(frozen=True, kw_only=True)
class NoLoss(Slope):
    def loss(self, model: nn.Module, batch: Tensor) -> Tensor:
        return super().loss(model, batch) / 0 * 0


@dataclass(frozen=True, kw_only=True)
class Raises(Slope):
    def batches(self, seed: int, model: nn.Module) -> Iterator[Tensor]:
        raise KeyError("no such column")


@dataclass(frozen=True, kw_only=True)
class NoScore(Slope):
    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        return {"mistakes": 0.0}


@dataclass(frozen=True, kw_only=True)
class ThreeClasses(Flags):
    classes = ("a", "b", "c")  # type: ignore[assignment]


@dataclass(frozen=True, kw_only=True)
class OutOfTheBox(Flags):
    def held_out(self) -> Any:
        x, y = super().held_out()
        return 10 * x, y


class Thing:
    name = "thing"


@dataclass(kw_only=True, eq=False)
class Loose:
    name = "loose"


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ("breast-cancr", "did you mean 'breast-cancer'"),
        ("my_task.py", "as my_task.py:task on the command line"),
        (Thing(), "got a Thing, expected an instance of a class that inherits"),
        (Slope(steps=31), "steps must be at least 32"),
        (OtherWeights(), "other weights the second time"),
        (ManyLosses(), "loss must give one number"),
        (NoLoss(), "the first loss is not finite"),
        (Raises(), "batches or loss raised KeyError: 'no such column'"),
        (NoScore(), r"scores gave \['mistakes'\], expected 'error' among them"),
        (ThreeClasses(), r"model gave \(2, 2\), expected logits of shape \(2, 3\)"),
        (OutOfTheBox(), "outside the box"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value[:20],
)
def test_each_fault_is_one_sentence(asked: object, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        chosen([asked])


def test_only_what_is_frozen_can_be_found_again() -> None:
    loose: Any = Loose
    task = type("Loose", (Slope,), {"__dataclass_params__": loose.__dataclass_params__})
    with pytest.raises(BadInput, match="must be a frozen dataclass"):
        chosen([task()])


def test_two_of_one_name() -> None:
    with pytest.raises(BadInput, match="two tasks are called 'slope'"):
        chosen([Slope(), Slope(steps=50)])


def test_tasks_are_sorted_by_what_they_are_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADWARDEN_DATA", raising=False)
    found = chosen([Flags(), "breast-cancer", CardFraud(), Slope()])
    assert found.training == (Slope(),)
    assert found.security == (Flags(), BreastCancer())
    ((name, field, purpose, why),) = found.absent
    assert (name, field, purpose) == ("card-fraud", "fraud", "security")
    assert why.startswith("not run: needs creditcard.csv or ")


def test_absent_data_alone_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADWARDEN_DATA", raising=False)
    with pytest.raises(MissingData, match=r"needs creditcard\.csv"):
        chosen(["card-fraud"])


def test_trying_a_task_moves_no_random_numbers_of_the_caller() -> None:
    before = torch.get_rng_state()
    chosen([Drawn()])
    assert torch.equal(before, torch.get_rng_state())


def test_a_task_that_the_contenders_are_not_for() -> None:
    with pytest.raises(
        BadInput, match="the task slope is for training, and both contenders are for"
    ):
        chosen([Slope()], {"security"})


def test_every_task_of_ours_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADWARDEN_DATA", raising=False)
    room = import_module("gradwarden.tasks")
    kinds = [getattr(room, name) for name in room.__all__]
    ours = {kind.name for kind in kinds if hasattr(kind, "__dataclass_fields__")}
    assert {*EVERY, *LONG} == ours
    found = every_task({"training"}, long=True)
    assert [task.name for task in found.training][-1] == "lunarlander-ppo"
    assert not found.security
    assert not found.absent
    quick = every_task({"training", "security"}, long=False)
    assert "card-fraud" in [one.name for one in quick.absent]
    assert all(task == type(task)() for task in (*quick.training, *quick.security))
