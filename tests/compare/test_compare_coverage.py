"""Simulated runs with a known truth: the intervals hold it at least 93 times in a hundred."""

import math
import random
from collections.abc import Callable

import pytest
from made_up_runs import PICKS, RATES, lost, trained

from gradwarden.compare.claims.c2_rates import ratio
from gradwarden.compare.claims.c3_speed import speedup
from gradwarden.compare.claims.c4_quality import quality
from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.results import Trained
from gradwarden.core.estimate import Estimate, paired_mean, proportion

WANTED = 0.93
TRIALS = 600
SEEDS = 5


def holds(estimate: Estimate | None, truth: float) -> bool:
    """A bound is judged on the side that it is a bound for; no estimate claims nothing."""
    if estimate is None:
        return True
    above = estimate.low <= truth or estimate.bound == "at most"
    below = truth <= estimate.high or estimate.bound == "at least"
    return above and below


def coverage(trial: Callable[[random.Random], tuple[Estimate | None, float]]) -> float:
    rng = random.Random(0)
    return sum(holds(*trial(rng)) for _ in range(TRIALS)) / TRIALS


def climb(rule: str, seed: int, edge: float) -> list[Trained]:
    return [
        (trained if math.log(rate) <= edge else lost)(rule=rule, seed=seed, rate=rate)
        for rate in RATES
    ]


def simulated(rng: random.Random, gain: float, spread: float) -> Ladder:
    """Edges of stability anywhere between rungs; `spread` of each seed's edge, in rungs."""
    rung = math.log(2.0)
    middle = rng.uniform(0.8, 2.2) * rung
    runs: list[Trained] = []
    for seed in range(SEEDS):
        shared = rng.gauss(0.0, spread * rung)
        for rule, shift in (("", 0.0), ("Clip", gain)):
            own = rng.gauss(0.0, 0.5 * spread * rung)
            runs += climb(rule, seed, middle + shift + shared + own)
    return ladders(runs)["lstm", "SGD"]


@pytest.mark.parametrize("gain", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("spread", [0.0, 0.1, 0.3, 0.8])
def test_ratio_of_largest_stable_rates(gain: float, spread: float) -> None:
    assert (
        coverage(lambda rng: (ratio(simulated(rng, gain, spread), PICKS, "rate"), gain)) >= WANTED
    )


def test_ratio_of_steps_and_of_bits() -> None:
    def trial(measure: str) -> Callable[[random.Random], tuple[Estimate | None, float]]:
        def one(rng: random.Random) -> tuple[Estimate | None, float]:
            truth, runs = 0.2, []
            for seed in range(SEEDS):
                shared = rng.gauss(0.0, 0.1)
                for rule, shift in (("", truth), ("Clip", 0.0)):
                    log = shared + shift + rng.gauss(0.0, 0.05)
                    steps = round(1000 * math.exp(log))
                    losses = (4.0,) * (steps - 10) + (2.0,) * 10
                    bits = 2.0 * math.exp(log)
                    runs.append(
                        trained(rule=rule, seed=seed, losses=losses, steps=10_000, test=bits)
                    )
            made = ladders(runs)["lstm", "SGD"]
            return (speedup if measure == "steps" else quality)(made, PICKS), truth

        return one

    assert coverage(trial("bits")) >= WANTED
    # The steps take a second for each hundred trials: a share of them is enough.
    rng, one = random.Random(1), trial("steps")
    assert sum(holds(*one(rng)) for _ in range(150)) / 150 >= WANTED


@pytest.mark.parametrize("share", [0.03, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("n", [20, 500])
def test_proportion(share: float, n: int) -> None:
    def trial(rng: random.Random) -> tuple[Estimate, float]:
        return proportion(sum(rng.random() < share for _ in range(n)), n), share

    assert coverage(trial) >= WANTED


def test_paired_mean() -> None:
    def trial(rng: random.Random) -> tuple[Estimate, float]:
        return paired_mean([rng.gauss(1.0, 2.0) for _ in range(SEEDS)]), 1.0

    assert coverage(trial) >= WANTED
