"""What the tasks on tables share: a threat in units of each feature, at an operating threshold."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.errors import BadInput
from gradwarden.core.geometry import Ball
from gradwarden.core.goal import Evades, operating_threshold
from gradwarden.core.tabular import Tabular
from gradwarden.core.threat import Threat
from gradwarden.tasks.loader import Split
from gradwarden.tasks.task import Metric, logits_of

AUROC = Metric("AUROC", "share of the pairs in order", True)
SENSITIVITY = Metric("sensitivity", "share of the ill", True)
RECALL = Metric("recall", "share of the fraud", True)
FALSE_POSITIVES = Metric("false-positive rate", "share of the others", False)


class Table(NamedTuple):
    """A schema and three splits; label 1 is what a defender looks for."""

    schema: Tabular
    train: Split
    validation: Split
    test: Split


def evasion(schema: Tabular, ball: Ball) -> Threat:
    """A sample of label 1 passes as 0; `ball` is in widths of the features."""
    scaled = Scaled(ball, schema.widths)
    return Threat(ball=scaled, box=schema.box, goal=Evades(source=1), constraints=schema)


def at_rate(threat: Threat, model: nn.Module, split: Split, rate: float) -> Threat:
    """`threat` where `model` flags at most a share `rate` of the samples of label 0 in `split`."""
    threshold = operating_threshold(logits_of(model, split.x[split.y == 0]), rate)
    return replace(threat, goal=Evades(source=1, threshold=threshold))


def sought(split: Split, most: int) -> Split:
    """The first `most` samples of label 1: the ones that an attacker wants to pass."""
    rows = (split.y == 1).nonzero()[:most, 0]
    return Split(split.x[rows], split.y[rows])


def stratified(y: Tensor, shares: tuple[float, float]) -> tuple[Tensor, Tensor, Tensor]:
    """Rows of the three splits, shuffled with a fixed seed, with either label in like shares."""
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(y)))
    parts: list[list[Tensor]] = [[], [], []]
    for label in (0, 1):
        rows = order[y[order] == label]
        ends = [round(sum(shares[: k + 1]) * len(rows)) for k in range(2)]
        for part, some in zip(parts, rows.tensor_split(ends), strict=True):
            part.append(some)
    first, second, third = (torch.cat(part).sort().values for part in parts)
    return first, second, third


def check_rate(rate: float) -> None:
    if not 0.0 <= rate < 1.0:
        raise BadInput(f"false_positives must be in [0, 1), got {rate}")
