"""The lane: the car against its equations, the driver, what readings mean, and what a push does."""

import sys
from collections.abc import Sequence
from math import atan2, cos, sin

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradwarden.core.errors import MissingExtra
from gradwarden.core.goal import Targeted
from gradwarden.core.search import Attacked, Model
from gradwarden.core.threat import Threat
from gradwarden.tasks.lane_driving import ANGLES, REACH, STEPS, Car, drive, driver, lessons
from gradwarden.tasks.lane_keeping import LaneKeeping
from gradwarden.tasks.loader import Split
from gradwarden.tasks.task import logits_of


def moved(state: np.ndarray, angle: float) -> np.ndarray:
    """The derivative of x, y, heading, side speed and yaw rate: Rajamani 2011, eq. 2.21 to 2.28,
    for mass 1, stiffness 15 and axles 2.5 m from the centre, at 8.3 m/s."""
    _, _, heading, side, yaw = state
    front = 30.0 * (angle - atan2(side + 2.5 * yaw, 8.3))
    rear = 30.0 * -atan2(side - 2.5 * yaw, 8.3)
    return np.array(
        [
            8.3 * cos(heading) - side * sin(heading),
            8.3 * sin(heading) + side * cos(heading),
            yaw,
            front + rear - yaw * 8.3,
            2.5 * (front - rear) / ((5.0**2 + 2.0**2) / 12),
        ]
    )


def test_the_car_moves_as_the_bicycle_model_says() -> None:
    """In steps of 0.1 s after Runge and Kutta."""
    car = Car(3)
    vehicle = car._inner.vehicle
    state = np.array([*vehicle.position, vehicle.heading, 0.0, 0.0])
    for kind in (6, 6, 4, 0, 1):
        a = moved(state, ANGLES[kind])
        b = moved(state + 0.05 * a, ANGLES[kind])
        c = moved(state + 0.05 * b, ANGLES[kind])
        d = moved(state + 0.1 * c, ANGLES[kind])
        state = state + 0.1 / 6 * (a + 2 * b + 2 * c + d)
        car.steer(kind)
    found = [*vehicle.position, vehicle.heading, vehicle.lateral_speed, vehicle.yaw_rate]
    assert found == pytest.approx(state.tolist(), abs=1e-5)  # actions are float32


def test_readings_are_what_they_are_called() -> None:
    readings = np.array([Car(seed).readings for seed in range(30)])
    truth = []
    for seed in range(30):
        car = Car(seed)
        along, aside = car.aside
        lane = car._inner.lane
        error = car._inner.vehicle.heading - lane.heading_at(along)
        ahead = [lane.heading_at(along + far) - lane.heading_at(along) for far in (4, 8)]
        truth.append([aside, error, 0, 0, *ahead])
        assert abs(aside) <= 1
        assert not car.departed
    found = (readings - 0.5) * 2 * REACH
    np.testing.assert_allclose(found, truth, atol=0.051)  # the environment's noise is 0.05
    assert np.abs(found[:, 4:] - np.array(truth)[:, 4:]).max() < 1e-6


def test_the_driver_steers_back_and_stays_in_the_lane() -> None:
    centred = torch.full((3, 6), 0.5)
    centred[1, 0] = 0.9  # too far right
    centred[2, 1] = 0.1  # turned to the left
    kinds = driver(centred)
    assert kinds[0] == 3
    assert kinds[1] < 3 < kinds[2]
    _, departed = drive(lambda x, y: y, 8, seed=0)
    assert not departed.any()
    seen, departed = drive(lambda x, y: torch.full_like(y, 6), 4, seed=0)
    assert departed.all()
    assert len(seen.y) < 4 * STEPS / 2  # a car that has left makes no more steps


def test_lessons_repeat_and_differ_between_splits() -> None:
    lessons.cache_clear()
    first = lessons(2, "train")
    lessons.cache_clear()
    again, other = lessons(2, "train"), lessons(2, "test")
    assert torch.equal(first.x, again.x)
    assert not torch.equal(first.x[:2], other.x[:2])
    assert torch.equal(first.y, driver(first.x))
    sizes = [len(LaneKeeping(lessons=9).split(name).y) for name in ("train", "validation", "test")]
    assert sizes[1] <= STEPS
    assert 4 * STEPS < sizes[0] <= 6 * STEPS
    assert STEPS < sizes[2] <= 2 * STEPS


class Copy(nn.Module):
    """Steers as the driver does."""

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.one_hot(driver(x), len(ANGLES)).float()


class Blindfold:
    """As an attack: the readings of a car far to the left, whatever the threat allows."""

    def run(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        *,
        seed: int = 0,
        ids: Sequence[int] | None = None,
    ) -> Attacked:
        assert threat.goal == Targeted(6)
        none = torch.zeros(len(x))
        away = x.index_fill(1, torch.tensor([0]), 0.0)
        count, no = none.long(), none.bool()
        return Attacked(away, none, no, none, count, count, count, no)


def test_departures_of_a_copy_of_the_driver_and_of_one_that_is_pushed() -> None:
    task = LaneKeeping(drives=4, lessons=9)
    scores = task.scores(Copy(), "test")
    assert scores == {"lane departures": 0.0, "accuracy": 1.0}
    assert task.departures(Copy(), "test", Blindfold()).all()


def test_a_trained_policy_keeps_the_lane() -> None:
    task = LaneKeeping(drives=3)
    model = task.model(0)
    optimizer = task.optimizer(model)
    for _ in range(task.epochs):
        for x, y in task.loader(0):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()
    scores = task.scores(model, "validation")
    assert scores["lane departures"] == 0.0
    assert scores["accuracy"] > 0.85
    x, y = task.held_out()
    assert isinstance(task.split("test"), Split)
    assert logits_of(model, x).shape == (len(y), 7)


def test_without_the_simulator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "highway_env", None)
    with pytest.raises(MissingExtra, match="package 'highway-env': pip install"):
        drive(lambda x, y: y, 1, 0)
