"""One training run: a task, an optimizer, a rate, and a clipping rule or none."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from gradwarden.clip.attach import Guard, attach
from gradwarden.clip.rule import Rule
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.compare.job import written_in
from gradwarden.compare.results import Trained, as_result
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
    rule: Rule[Any] | None
    seed: int
    expected: float = 0.6

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise BadInput(f"optimizer must be one of {list(OPTIMIZERS)}, got {self.optimizer!r}")

    @property
    def task(self) -> str:
        return self.of.name

    @property
    def arm(self) -> str:
        return f"{self.of.net}, {self.optimizer} {self.rate:g}, {self.rule or 'no clipping'}"

    def config(self) -> dict[str, Any]:
        return {
            "task": repr(self.of),
            "data": self.of.data,
            "optimizer": self.optimizer,
            "rate": self.rate,
            "rule": "" if self.rule is None else repr(self.rule),
            **written_in(self.of),
        }

    def roots(self) -> tuple[str, ...]:
        return (__name__, type(self.of).__module__, type(self.rule or MaxNorm).__module__)

    def _warm(self, step: int) -> float:
        """Share of the rate at `step`, which counts from 0."""
        return min(1.0, (step + 1) / self.of.warmup) if self.of.warmup else 1.0

    def run(self) -> dict[str, Any]:
        """Ends early at the first non-finite loss or gradient, which no step follows."""
        with weights(self.seed, self.task):  # a user's net may draw, in making and in dropout
            return self._run()

    def _run(self) -> dict[str, Any]:
        model = self.of.model(self.seed)
        optimizer = OPTIMIZERS[self.optimizer](model.parameters(), self.rate)
        # An infinite bound measures and never clips, so both arms are measured by the same code.
        guard = attach(optimizer, self.rule or MaxNorm(math.inf), model=model, on_nonfinite="skip")
        series: list[tuple[float, float, float, float]] = []
        broken: int | None = None
        for step, batch in enumerate(islice(self.of.batches(self.seed, model), self.of.steps)):
            for group in optimizer.param_groups:
                group["lr"] = self.rate * self._warm(step)
            optimizer.zero_grad()
            loss = self.of.loss(model, batch)
            loss.backward()
            optimizer.step()
            seen = _seen(float(loss.detach()), guard)
            if seen is None:
                broken = step
                break
            series.append(seen)
        guard.detach()
        losses, norms, thresholds, coefficients = zip(*series, strict=True) if series else [()] * 4
        return as_result(
            Trained(
                net=self.of.net,
                optimizer=self.optimizer,
                rule="" if self.rule is None else repr(self.rule),
                rate=self.rate,
                seed=self.seed,
                steps=self.of.steps,
                target=self.of.target,
                losses=losses,
                norms=norms,
                thresholds=thresholds if self.rule is not None else (),
                coefficients=coefficients,
                nonfinite_step=broken,
                validation=_finite(self.of.score(model, "validation")),
                test=_finite(self.of.score(model, "test")),
            )
        )


def _seen(loss: float, guard: Guard) -> tuple[float, float, float, float] | None:
    """Loss, norm, threshold and coefficient of the last step; None where one is not finite."""
    last = guard.last
    if last is None or not math.isfinite(loss) or not bool(last.finite):
        return None
    norm, threshold, coefficient = last.norm, last.threshold, last.coefficient
    return _short(loss), _short(norm), _short(threshold), _short(coefficient)


def _short(value: Tensor | float) -> float:
    return float(f"{float(value):.{DIGITS}g}")


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
