"""The largest stable rate, what bounds it, and the rate that validation chooses."""

import math

import pytest
from made_up_runs import RATES, ladder, lost, trained

from gradwarden.compare.ladder import Ladder, ladders
from gradwarden.compare.results import Trained


def only(runs: list[Trained]) -> Ladder:
    (found,) = ladders(runs).values()
    return found


@pytest.mark.parametrize(
    ("edge", "rate", "bound"),
    [(4.0, 4.0, ""), (16.0, 16.0, "at least"), (0.5, 1.0, "at most")],
)
def test_top(edge: float, rate: float, bound: str) -> None:
    top = only(ladder("", 0, edge)).top("", 0, list(RATES))
    assert (top.rate, top.bound) == (rate, bound)


def test_effective_is_the_rate_times_the_mean_coefficient() -> None:
    runs = ladder("Clip", 0, 4.0, coefficients=(0.5,) * 100)
    assert only(runs).top("Clip", 0, list(RATES)).effective == 2.0


def test_stable_asks_for_bits_near_the_best_of_any_arm_and_net() -> None:
    runs = [
        trained(validation=2.19),
        trained(validation=2.21, rate=2.0),
        trained(validation=2.0, net="other"),
        trained(validation=9.0, seed=1),
    ]
    first = ladders(runs)["lstm", "SGD"]
    assert [first.stable(run) for run in runs[:2]] == [True, False]
    assert first.stable(runs[3])  # the best of its own seed


def test_a_later_stable_rung_counts_over_an_unstable_gap() -> None:
    runs = [trained(rate=1.0), lost(rate=2.0), trained(rate=4.0), lost(rate=8.0)]
    assert only(runs).top("", 0, [1.0, 2.0, 4.0, 8.0]).rate == 4.0


def test_chosen_is_the_best_mean_and_never_a_rate_where_a_seed_diverged() -> None:
    runs = [
        trained(rate=1.0, validation=2.2),
        trained(rate=1.0, validation=2.2, seed=1),
        trained(rate=2.0, validation=1.0),
        lost(rate=2.0, seed=1),
        trained(rate=4.0, validation=2.0),
        trained(rate=4.0, validation=2.1, seed=1),
    ]
    assert only(runs).chosen("") == 4.0
    assert only([lost()]).chosen("") is None


def test_shared_rates_and_the_widest_gap() -> None:
    runs = [trained(rate=r) for r in (1.0, 2.0, 8.0)]
    runs += [trained(rate=r, rule="Clip") for r in (1.0, 8.0)]
    made = only(runs)
    assert made.rates("", "Clip") == [1.0, 8.0]
    assert made.step("") == pytest.approx(math.log(4))
    assert made.step("", "Clip") == pytest.approx(math.log(8))
