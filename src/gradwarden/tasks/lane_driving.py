"""A car on a winding lane, from highway-env, and a driver to learn from.

Source: Leurent 2018, highway-env (lane-keeping-v0: the bicycle model of Rajamani 2011, sec. 2).
Differs: a drive begins somewhere on the winding lane, off its centre; the lane has the usual width;
two readings look ahead.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gradwarden.core.draws import seed_of
from gradwarden.core.errors import MissingExtra
from gradwarden.tasks.loader import Split

ANGLES = tuple(
    round(0.06 * k, 2) for k in range(-3, 4)
)  # rad at the front wheels, right is above 0
FULL_LOCK = 1.0471975511965976  # rad: what the environment calls 1
AHEAD = (4.0, 8.0)  # m: where the lane's heading is read
SENSORS = (
    "lateral offset",
    "heading error",
    "lateral speed",
    "yaw rate",
    "lane heading 4 m ahead",
    "lane heading 8 m ahead",
)
REACH = np.array(
    [2.5, 0.5, 1.0, 1.0, 0.4, 0.4]
)  # m, rad, m/s, rad/s, rad, rad: 0 and 1 of a reading
WIDTH = 4.0  # m: the simulator's usual lane; that of lane-keeping-v0 is 10 m
STEPS = 100  # of 0.1 s at 30 km/h: 83 m
STRAY = 0.3  # share of steps at which the driver that is learned from is thrown off
Steer = Callable[[Tensor, Tensor], Tensor]  # readings [E, 6], what the driver does [E] -> [E]


class Car:
    """One drive; `readings` are what its sensors say, in [0, 1] with 0.5 for none."""

    def __init__(self, seed: int) -> None:
        self._world = _simulator()
        self._seen, _ = self._world.reset(seed=seed)
        self._inner = self._world.unwrapped
        self._inner.lane = self._inner.lanes.pop(0)  # the winding one
        rng = np.random.default_rng(seed)
        self._place(rng.uniform(0, 100), rng.uniform(-1, 1), rng.uniform(-0.1, 0.1))

    def _place(self, along: float, aside: float, turned: float) -> None:
        lane, vehicle = self._inner.lane, self._inner.vehicle
        vehicle.position = lane.position(along, aside)
        vehicle.heading = lane.heading_at(along) + turned
        self._seen = self._inner.observation_type.observe()

    @property
    def aside(self) -> tuple[float, float]:
        """Metres along the lane, and from its centre."""
        along, aside = self._inner.lane.local_coordinates(self._inner.vehicle.position)
        return float(along), float(aside)

    @property
    def departed(self) -> bool:
        return abs(self.aside[1]) > WIDTH / 2

    @property
    def readings(self) -> np.ndarray:
        """[6], with the environment's noise."""
        state, lane = self._seen["state"][:, 0], self._seen["reference_state"][:, 0]
        along, _ = self.aside
        now = self._inner.lane.heading_at(along)
        ahead = [self._inner.lane.heading_at(along + far) - now for far in AHEAD]
        values = np.array([*(state[:2] - lane[:2]), *state[2:], *ahead])
        scaled: np.ndarray = (values / (2 * REACH) + 0.5).clip(0.0, 1.0)
        return scaled.astype(np.float32)

    def steer(self, kind: int) -> None:
        """One step of 0.1 s with the wheels at ANGLES[kind]."""
        action = np.array([ANGLES[kind] / FULL_LOCK], dtype=np.float32)
        self._seen, *_ = self._world.step(action)


def driver(readings: Tensor) -> Tensor:
    """[N, 6] -> the kind of angle [N] that leads back to the centre: proportional, looking ahead."""
    offset, error, _, _, near, far = ((readings - 0.5) * 2 * torch.from_numpy(REACH).float()).T
    angle = -0.06 * offset - 0.7 * error + 0.2 * (near + far)
    kinds = torch.tensor(ANGLES)
    nearest: Tensor = (angle[:, None] - kinds).abs().argmin(1)
    return nearest


def drive(steer: Steer, cars: int, seed: int) -> tuple[Split, Tensor]:
    """What `cars` drives saw, with what the driver would have done, and which left the lane [cars].

    A car that has left stays away. Raises MissingExtra.
    """
    fleet = [Car(seed_of(seed, car) % 2**31) for car in range(cars)]
    seen, kinds = [], []
    departed = torch.zeros(cars, dtype=torch.bool)
    for _ in range(STEPS):
        going = [car for car in range(cars) if not departed[car]]
        if not going:
            break
        x = torch.from_numpy(np.stack([fleet[car].readings for car in going]))
        y = driver(x)
        for car, kind in zip(going, steer(x, y).tolist(), strict=True):
            fleet[car].steer(kind)
            departed[car] = fleet[car].departed
        seen.append(x)
        kinds.append(y)
    return Split(torch.cat(seen), torch.cat(kinds)), departed


def _simulator() -> Any:
    """An environment; any type, since the simulator's own attributes have none."""
    try:
        import gymnasium
        import highway_env  # noqa: F401
    except ImportError:
        raise MissingExtra("highway-env", "tasks") from None
    return gymnasium.make("lane-keeping-v0", max_episode_steps=STEPS + 1)


@cache
def lessons(cars: int, name: str) -> Split:
    """Readings and what the driver does, on drives where it is thrown off now and then: what a net
    that errs will see. `name` of the split has its own starts."""
    rng = torch.Generator().manual_seed(seed_of(name, "stray"))

    def steer(x: Tensor, y: Tensor) -> Tensor:
        stray = torch.rand(len(y), generator=rng) < STRAY
        return torch.where(stray, torch.randint(len(ANGLES), y.shape, generator=rng), y)

    found, _ = drive(steer, cars, seed_of(name, "lessons"))
    return found
