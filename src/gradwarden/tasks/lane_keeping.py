"""Task `lane-keeping`: the sensors of a steering policy are disturbed until the car leaves its lane.

Source: highway-env, Leurent 2018 (MIT); learning to steer from a driver: Bojarski et al. 2016,
arXiv:1604.07316; attacks on what a policy sees: Huang et al. 2017, arXiv:1702.02284.
Differs: six readings instead of pictures, seven angles; a car is pushed to one side.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from torch import Tensor, nn

from gradwarden.core.balls.linf import Linf
from gradwarden.core.draws import seed_of
from gradwarden.core.goal import Targeted
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat
from gradwarden.tasks.lane_driving import ANGLES, drive, lessons
from gradwarden.tasks.loader import Split
from gradwarden.tasks.nets import perceptron, weights
from gradwarden.tasks.packages import version
from gradwarden.tasks.task import (
    ACCURACY,
    SPLITS,
    Metric,
    SecurityTask,
    at_least,
    logits_of,
    part,
)

DEPARTURES = Metric("lane departures", "share of the drives", False)
PARTS = (6, 1, 2)  # lessons in the three splits, in proportion


@dataclass(frozen=True, kw_only=True)
class LaneKeeping(SecurityTask):
    """A policy of seven steering angles that learned from `lessons` drives of a driver.

    `radius` is a share of each sensor's range: 0.1 is half a metre, and 0.1 rad of heading.
    """

    radius: float = 0.08
    lessons: int = 36
    drives: int = 10  # on each held-out split, 10 s each
    samples: int = 400
    hidden: int = 32
    epochs: int = 15
    batch: int = 64
    rate: float = 3e-3  # of Adam

    name = "lane-keeping"
    field = "vehicles"
    provenance = "A simulated car on the winding lane of highway-env's lane-keeping-v0 (MIT)."
    metrics = (DEPARTURES, ACCURACY)
    classes = tuple(f"{angle:+.2f} rad" for angle in ANGLES)

    def __post_init__(self) -> None:
        at_least(sum(PARTS), self, "lessons")
        at_least(1, self, "drives", "samples", "hidden", "epochs", "batch")

    @classmethod
    def full(cls) -> LaneKeeping:
        return cls(lessons=90, drives=30, samples=1000, hidden=64, epochs=30)

    @property
    def data(self) -> Mapping[str, str]:
        simulator = version("highway-env", module="highway_env")
        return {"gymnasium": version("gymnasium"), "highway-env": simulator}

    @property
    def threat(self) -> Threat:
        """Any other angle than the driver's."""
        return Threat(ball=Linf(self.radius))

    @property
    def push(self) -> Threat:
        """The last angle, at every step: what drives a car out of its lane."""
        return replace(self.threat, goal=Targeted(len(ANGLES) - 1))

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            x, _ = self.split("train")
            return perceptron(x, hidden=self.hidden, classes=len(ANGLES))

    def split(self, name: str) -> Split:
        return lessons(self.lessons * part(PARTS, name) // sum(PARTS), name)

    def departures(self, model: nn.Module, split: str, attack: Attack | None = None) -> Tensor:
        """[drives] bool: which left the lane, where `attack` pushes it at every step, or nobody."""
        seed = seed_of(self.name, part(SPLITS, split), "drives")

        def steer(x: Tensor, y: Tensor) -> Tensor:
            if attack is not None:
                x = attack.run(model, x, y, self.push).x_adv
            return logits_of(model, x).argmax(1)

        return drive(steer, self.drives, seed)[1]

    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        x, y = self.split(split)
        left = float(self.departures(model, split).double().mean())
        return {DEPARTURES.name: left} | self.judge(logits_of(model, x), y, self.threat)

    def under(self, model: nn.Module, attack: Attack) -> dict[str, float]:
        """Departures where `attack` pushes the car to one side at every step."""
        return {DEPARTURES.name: float(self.departures(model, "test", attack).double().mean())}

    def judge(self, logits: Tensor, y: Tensor, threat: Threat) -> dict[str, float]:
        """The accuracy alone: a departure is a matter of whole drives (see `under`)."""
        hit = threat.goal.predicted(logits) == y
        return {ACCURACY.name: float(hit.double().mean())}
