"""Intervals against closed forms and SciPy's own tests; what they settle, by hand."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import (
    Estimate,
    answer,
    mcnemar,
    paired_mean,
    paired_shares,
    proportion,
)

INF = math.inf


@pytest.mark.parametrize("n", [1, 5, 500])
def test_proportion_at_the_ends_is_closed_form(n: int) -> None:
    """With k = 0 the upper end solves (1 - p)^n = 0.025."""
    edge = 1 - 0.025 ** (1 / n)
    none, every = proportion(0, n), proportion(n, n)
    assert none.value == none.low == 0.0
    assert none.high == pytest.approx(edge)
    assert every.value == every.high == 1.0
    assert every.low == pytest.approx(1 - edge)


@pytest.mark.parametrize(("k", "n"), [(0, 3), (1, 2), (7, 20), (250, 500), (499, 500), (9, 9)])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
def test_proportion_is_scipys_exact_interval(k: int, n: int, level: float) -> None:
    expected = stats.binomtest(k, n).proportion_ci(level, method="exact")
    found = proportion(k, n, level)
    assert (found.value, found.n) == (k / n, n)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_nothing_observed_leaves_everything_possible() -> None:
    assert proportion(0, 0) == Estimate(value=0.5, low=0.0, high=1.0, n=0)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_proportion_refuses_impossible_counts(k: int, n: int) -> None:
    with pytest.raises(BadInput, match=r"successes must be in \[0, n\]"):
        proportion(k, n)


def test_paired_mean_by_hand() -> None:
    """Mean 2, standard deviation 1, t(0.975, 2) = 4.302653."""
    found = paired_mean([1.0, 2.0, 3.0])
    half = 4.302652729911275 / math.sqrt(3)
    assert (found.value, found.low, found.high) == pytest.approx((2.0, 2 - half, 2 + half))


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=12), st.sampled_from([0.9, 0.95]))
def test_paired_mean_is_scipys_t_interval(values: list[float], level: float) -> None:
    found = paired_mean(values, level=level)
    spread = statistics.stdev(values)
    low, high = (
        stats.t.interval(level, len(values) - 1, loc=found.value, scale=spread / len(values) ** 0.5)
        if spread
        else (found.value, found.value)
    )
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-6, abs=1e-6)


def test_paired_mean_is_never_narrower_than_its_resolution() -> None:
    assert paired_mean([1.0, 1.0], floor=0.4) == Estimate(value=1.0, low=0.6, high=1.4, n=2)


def test_one_seed_settles_nothing() -> None:
    assert paired_mean([3.0]) == Estimate(value=3.0, low=-INF, high=INF, n=1)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [([], "got no values"), ([1.0, math.nan], "must be finite"), ([INF, 1.0], "must be finite")],
)
def test_paired_mean_refuses(values: list[float], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        paired_mean(values)


@given(st.integers(0, 300), st.integers(0, 300))
def test_mcnemar_is_the_two_sided_binomial_test(first: int, second: int) -> None:
    n = first + second
    expected = stats.binomtest(first, n).pvalue if n else 1.0
    assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_closed_form_and_refusal() -> None:
    assert mcnemar(10, 0) == pytest.approx(2 / 2**10)
    assert mcnemar(3, 3) == mcnemar(0, 0) == 1.0
    with pytest.raises(BadInput, match="counts must be at least 0"):
        mcnemar(-1, 2)


def estimate(value: float, low: float, high: float, bound: str = "") -> Estimate:
    return Estimate(value=value, low=low, high=high, n=5, bound=bound)


@pytest.mark.parametrize(
    ("effect", "expected"),
    [
        (estimate(0.5, 0.2, 0.8), "supported"),
        (estimate(-0.5, -0.8, -0.2), "refuted"),
        (estimate(0.5, -0.1, 1.1), "open"),  # the interval holds the null
        (estimate(0.05, 0.01, 0.09), "open"),  # smaller than what counts
        (estimate(-0.05, -0.09, -0.01), "open"),
        (estimate(0.5, 0.0, 1.0), "open"),  # touches the null
        (estimate(0.1, 0.01, 0.2), "supported"),  # exactly the smallest effect
        (estimate(-0.1, -0.2, -0.01), "refuted"),
        (estimate(0.5, 0.2, 0.8, "at least"), "supported"),
        (estimate(0.5, 0.2, 0.8, "at most"), "open"),
        (estimate(-0.5, -0.8, -0.2, "at most"), "refuted"),
        (estimate(-0.5, -0.8, -0.2, "at least"), "open"),
        (estimate(0.5, -INF, INF), "open"),
    ],
)
def test_answer(effect: Estimate, expected: str) -> None:
    assert answer(effect, null=0.0, smallest=0.1) == expected


def test_answer_is_about_the_null_that_is_given() -> None:
    effect = estimate(0.9, 0.85, 0.95)
    assert answer(effect, null=1.0, smallest=0.05) == "refuted"
    assert answer(effect, null=0.8, smallest=0.05) == "supported"


@pytest.mark.parametrize(
    ("value", "low", "high"), [(0.5, 0.6, 0.7), (0.5, 0.1, 0.4), (math.nan, 0.0, 1.0)]
)
def test_an_estimate_lies_in_its_interval(value: float, low: float, high: float) -> None:
    with pytest.raises(BadInput, match="low <= value <= high"):
        estimate(value, low, high)


def test_an_unknown_bound_is_refused() -> None:
    with pytest.raises(BadInput, match="'at least' or 'at most', got 'about'"):
        estimate(0.5, 0.0, 1.0, "about")


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),  # the examples of the paper's table IV
        ((20, 12, 2, 16), 0.0562, 0.3290),
        ((43, 0, 7, 0), -0.2621, -0.0425),
    ],
)
def test_paired_shares_as_published(cells: tuple[int, ...], low: float, high: float) -> None:
    found = paired_shares(*cells)
    assert found.value == pytest.approx((cells[1] - cells[2]) / sum(cells))
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-3)


def test_paired_shares_have_a_width_where_nothing_differs() -> None:
    few, many = paired_shares(9, 0, 0, 0), paired_shares(1000, 0, 0, 0)
    assert few.value == many.value == 0.0
    assert few.high > 0.1
    assert 0.0 < many.high < 0.005
    assert paired_shares(0, 0, 9, 0).value == paired_shares(0, 0, 9, 0).low == -1.0


def test_paired_shares_turn_round() -> None:
    one, other = paired_shares(30, 7, 3, 10), paired_shares(30, 3, 7, 10)
    assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low))


@pytest.mark.parametrize("n", [20, 60])
@pytest.mark.parametrize(("first", "second"), [(0.0, 0.02), (0.1, 0.05), (0.3, 0.0)])
@pytest.mark.parametrize("neither", [0.0, 0.3])
def test_paired_shares_hold_the_truth(n: int, first: float, second: float, neither: float) -> None:
    rng = np.random.default_rng(0)
    shares = [1 - first - second - neither, first, second, neither]
    drawn = rng.multinomial(n, shares, size=2000)
    found = [paired_shares(*map(int, row)) for row in drawn]
    assert sum(e.low <= first - second <= e.high for e in found) / 2000 >= 0.93


def test_paired_shares_of_what_cannot_be() -> None:
    with pytest.raises(BadInput, match="counts must be at least 0"):
        paired_shares(3, -1, 0, 0)
