"""Each rule against the arithmetic of its source, written again slowly, and its mended defects."""

import math
from collections import deque
from typing import Any

import numpy as np
import pytest
import torch

from gradwarden.clip.rule import Measured, Rule
from gradwarden.clip.rules.quantile import Quantile
from gradwarden.clip.rules.zscore import ZScore


def drive(rule: Rule[Any], norms: list[float]) -> list[float]:
    """Thresholds for a sequence of norms, one a step."""
    state, thresholds = rule.init(torch.zeros(())), []
    for norm in norms:
        value = torch.tensor(norm)
        threshold, state = rule.step(Measured(norms=value, total=value), state)
        thresholds.append(float(threshold))
    return thresholds


def coefficients(rule: Rule[Any], norms: list[float]) -> list[float]:
    return [min(1.0, t / n) for t, n in zip(drive(rule, norms), norms, strict=True)]


def lognormal(n: int, sigma: float = 0.3, seed: int = 0) -> list[float]:
    values: list[float] = np.random.default_rng(seed).lognormal(0.0, sigma, n).tolist()
    return values


@pytest.mark.parametrize("q", [0.0, 0.1, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("window", [1, 7, 1000])
def test_quantile_is_numpys_percentile_of_the_last_norms(q: float, window: int) -> None:
    norms = lognormal(60)
    recent: deque[float] = deque(maxlen=window)
    for threshold, norm in zip(drive(Quantile(q=q, window=window), norms), norms, strict=True):
        recent.append(norm)
        assert threshold == pytest.approx(np.percentile(recent, 100 * q), rel=1e-5)


def zclip_twin(norms: list[float], mode: str, max_norm: float) -> list[float]:
    """The authors' arithmetic with python numbers: alpha 0.97, z 2.5, 25 warm-up steps."""
    mean = var = None
    first: list[float] = []
    thresholds = []
    for norm in norms:
        if mean is None or var is None:
            first.append(norm)
            if len(first) == 25:
                mean = sum(first) / 25
                var = sum((x - mean) ** 2 for x in first) / 25
            thresholds.append(max_norm)
            continue
        deviation = math.sqrt(var)
        z = (norm - mean) / (deviation + 1e-6)
        fed, threshold = norm, math.inf
        if z > 2.5:
            threshold = {
                "adaptive": mean + 2.5 * deviation / (z / 2.5),
                "mean": mean,
                "percentile": mean + 2.5 * deviation,
            }[mode]
            fed = threshold
        thresholds.append(min(threshold, max_norm))
        mean = 0.97 * mean + 0.03 * fed
        var = 0.97 * var + 0.03 * (fed - mean) ** 2
    return thresholds


@pytest.mark.parametrize("mode", ["adaptive", "mean", "percentile"])
@pytest.mark.parametrize("max_norm", [math.inf, 1.2])
def test_zscore_reference_matches_the_twin(mode: Any, max_norm: float) -> None:
    norms = lognormal(300)
    norms[100] *= 50
    norms[150:] = [4 * n for n in norms[150:]]
    rule = ZScore(mode=mode, max_norm=max_norm, reference=True)
    assert drive(rule, norms) == pytest.approx(zclip_twin(norms, mode, max_norm), rel=1e-4)


@pytest.mark.parametrize("factor", [4.0, 0.25])
def test_zscore_follows_a_level_shift_where_the_reference_locks_in(factor: float) -> None:
    norms = lognormal(300, sigma=0.05)
    norms += [factor * n for n in lognormal(300, sigma=0.05, seed=1)]
    assert sum(c < 1 for c in coefficients(ZScore(), norms)[360:]) <= 6
    if factor > 1:
        assert max(coefficients(ZScore(reference=True), norms)[500:]) < 0.3


def test_a_spike_in_the_warmup_blinds_the_reference_only() -> None:
    norms = lognormal(100)
    norms[3] *= 1000
    norms[40] *= 100
    assert drive(ZScore(), norms)[40] < 5
    assert drive(ZScore(reference=True), norms)[40] == math.inf


def test_zscore_leaves_constant_norms_with_rounding_alone() -> None:
    norms = [1 + 1e-5 * (i % 3) for i in range(500)]
    assert min(coefficients(ZScore(), norms)) == 1.0
