"""One training run: a task, an optimizer, a rate, and what it is treated with."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare.contenders.contender import Treatment, label_of
from gradwarden.compare.job import written_in
from gradwarden.compare.results import Trained, as_result
from gradwarden.compare.treated import mean_share, treated
from gradwarden.core.errors import BadInput
from gradwarden.tasks.nets import weights
from gradwarden.tasks.task import TrainingTask

OPTIMIZERS = {"SGD": torch.optim.SGD, "AdamW": torch.optim.AdamW}
DIGITS = 5  # significant ones that are stored of each value in a series


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """Initial weights and batches depend on the task and the seed alone, so arms are paired."""

    of: TrainingTask
    optimizer: str
    rate: float
    treatments: tuple[Treatment, ...] = ()
    seed: int
    expected: float = 0.6

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise BadInput(f"optimizer must be one of {list(OPTIMIZERS)}, got {self.optimizer!r}")

    @property
    def task(self) -> str:
        return self.of.name

    @property
    def label(self) -> str:
        return label_of(self.treatments)

    @property
    def arm(self) -> str:
        return f"{self.of.net}, {self.optimizer} {self.rate:g}, {self.label or 'no clipping'}"

    def config(self) -> dict[str, Any]:
        return {
            "task": repr(self.of),
            "data": self.of.data,
            "optimizer": self.optimizer,
            "rate": self.rate,
            "treatments": [repr(treatment) for treatment in self.treatments],
            **written_in(self.of),
        }

    def roots(self) -> tuple[str, ...]:
        used = [type(one).__module__ for one in self.treatments]
        rules = [type(one.rule or MaxNorm).__module__ for one in self.treatments]
        return (__name__, type(self.of).__module__, *used, *rules)

    def run(self) -> dict[str, Any]:
        """Ends early at the first non-finite loss or gradient, which no step follows."""
        with weights(self.seed, self.task):  # a user's net may draw, in making and in dropout
            return self._run()

    def _run(self) -> dict[str, Any]:
        model = self.of.model(self.seed)
        for treatment in self.treatments:
            model = treatment.applied(model)
        optimizer = OPTIMIZERS[self.optimizer](model.parameters(), self.rate)
        series: list[tuple[float, ...]] = []
        broken: int | None = None
        steps, warmup = self.of.steps, self.of.warmup
        with treated(optimizer, self.treatments, steps=steps, warmup=warmup) as watched:
            for step, batch in enumerate(islice(self.of.batches(self.seed, model), steps)):
                optimizer.zero_grad()
                loss = self.of.loss(model, batch)
                loss.backward()
                optimizer.step()
                value, seen = float(loss.detach()), watched.last
                if seen is None or not math.isfinite(value):
                    broken = step
                    break
                series.append((_short(value), *map(_short, seen)))
        losses, norms, thresholds, coefficients = zip(*series, strict=True) if series else [()] * 4
        clips = any(treatment.rule is not None for treatment in self.treatments)
        return as_result(
            Trained(
                net=self.of.net,
                optimizer=self.optimizer,
                rule=self.label,
                rate=self.rate,
                seed=self.seed,
                steps=steps,
                target=self.of.target,
                losses=losses,
                norms=norms,
                thresholds=thresholds if clips else (),
                coefficients=coefficients,
                nonfinite_step=broken,
                validation=_finite(self.of.score(model, "validation")),
                test=_finite(self.of.score(model, "test")),
                share=mean_share(self.treatments, steps),
            )
        )


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
