"""The figures by which tasks are judged, from plain tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gradwarden.core.goal import Goal

FELL = 0.5  # of the gain so far: below it, a policy has collapsed
BACK = 0.75  # of that gain: from here on it can collapse again


def judged(names: Sequence[str], logits: Tensor, y: Tensor, goal: Goal) -> dict[str, float]:
    """Figures by name of logits [N, classes] and y [N]; `goal` says which class a user takes.

    A figure that needs a label which no sample has is left out.
    """
    found = {name: JUDGES[name](logits, y, goal) for name in names}
    return {name: value for name, value in found.items() if not math.isnan(value)}


def auroc(scores: Tensor, y: Tensor) -> float:
    """How often a sample of label 1 has the higher score [N] than one of label 0; ties count half.

    NaN where a label is absent. Source: Hanley & McNeil 1982 (the Mann-Whitney statistic).
    """
    ill, well = scores[y == 1].double(), scores[y == 0].double().sort().values
    below = torch.searchsorted(well, ill)
    up_to = torch.searchsorted(well, ill, right=True)
    pairs = len(ill) * len(well)
    return int((below + up_to).sum()) / 2 / pairs if pairs else float("nan")


def _share(hit: Tensor) -> float:
    """NaN of nothing."""
    return float(hit.double().mean())


def _accuracy(logits: Tensor, y: Tensor, goal: Goal) -> float:
    return _share(goal.predicted(logits) == y)


def _found(label: int) -> Callable[[Tensor, Tensor, Goal], float]:
    """Of the samples of `label`, the share that is flagged (taken for label 1)."""
    return lambda logits, y, goal: _share(goal.predicted(logits)[y == label] == 1)


def _auroc(logits: Tensor, y: Tensor, goal: Goal) -> float:
    return auroc(logits[:, 1] - logits[:, 0], y)


JUDGES: dict[str, Callable[[Tensor, Tensor, Goal], float]] = {
    "accuracy": _accuracy,
    "recall": _found(1),
    "sensitivity": _found(1),
    "false-positive rate": _found(0),
    "AUROC": _auroc,
}


def worst_decile(returns: Tensor) -> float:
    """Mean of the lowest tenth of returns [N], at least one of them."""
    return float(returns.double().sort().values[: max(1, len(returns) // 10)].mean())


def collapses(curve: Sequence[float]) -> int:
    """How often a policy that had learned lost more than half of what it had gained.

    `curve` holds returns in the order of training; the mean of ten is followed, from its first
    value. A policy has learned once its gain exceeds the size of that value. After a fall it must
    come back to three quarters of the gain before the next one counts.
    """
    levels = [sum(curve[end - 10 : end]) / 10 for end in range(10, len(curve) + 1)]
    count, up, best = 0, True, -math.inf
    for level in levels:
        best = max(best, level)
        gain = best - levels[0]
        if up and gain > abs(levels[0]) and level - levels[0] < FELL * gain:
            count, up = count + 1, False
        elif not up and level - levels[0] >= BACK * gain:
            up = True
    return count


def scaled_error(forecast: Tensor, truth: Tensor, last: Tensor) -> Tensor:
    """[H] mean absolute error of [N, H], in units of that of carrying `last` [N] forward as far.

    1 is as good as to repeat the last value. Source: Hyndman & Koehler 2006, sec. 3 (relative
    measures). Differs from MASE: the yardstick is as far ahead as the forecast, on the same samples.
    """
    error = (forecast - truth).abs().mean(0)
    return error / (last[:, None] - truth).abs().mean(0)
