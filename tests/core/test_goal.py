"""Evasion at an operating point: margins by hand, the threshold against a count, sentences."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Evades, operating_threshold

NAN, INF = math.nan, math.inf
LOGIT = st.sampled_from(
    [-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 1.0 + 2**-23, 3e38, -3e38, NAN, INF, -INF]
)
ROWS = st.lists(st.tuples(LOGIT, LOGIT), min_size=1, max_size=5)


@settings(max_examples=200, deadline=None)
@given(rows=ROWS, source=st.integers(0, 1), threshold=st.sampled_from([0.0, -1.0, 0.5, 2.0]))
def test_margin_is_above_zero_exactly_where_the_sample_passes(
    rows: list[tuple[float, float]], source: int, threshold: float
) -> None:
    goal, logits = Evades(source=source, threshold=threshold), torch.tensor(rows)
    for label in (0, 1):
        y = torch.full((len(rows),), label)
        reached, margin = goal.reached(logits, y), goal.margin(logits, y)
        assert torch.equal(reached, margin > 0)
        assert not margin.isnan().any()
        if label != source:
            assert not reached.any()  # the other class is not the attacker's


@pytest.mark.parametrize(
    ("source", "threshold", "logits", "margin", "predicted"),
    [
        (1, 0.0, [0.0, 2.0], -2.0, 1),
        (1, 0.0, [2.0, 0.5], 1.5, 0),
        (1, 1.0, [0.0, 0.5], 0.5, 0),  # above the other, and yet below the threshold
        (1, 1.0, [0.0, 1.0], 0.0, 1),  # at the threshold it is flagged
        (1, -1.0, [0.5, 0.0], -0.5, 1),
        (0, 1.0, [0.5, 0.0], 0.5, 1),
        (0, 0.0, [0.5, 0.0], -0.5, 0),
    ],
)
def test_by_hand(
    source: int, threshold: float, logits: list[float], margin: float, predicted: int
) -> None:
    goal, row = Evades(source=source, threshold=threshold), torch.tensor([logits])
    assert goal.margin(row, torch.tensor([source])).tolist() == [margin]
    assert goal.predicted(row).tolist() == [predicted]
    assert goal.reached(row, torch.tensor([source])).tolist() == [margin > 0]


def test_the_loss_is_the_log_probability_of_passing_and_leads_there() -> None:
    logits = torch.tensor([[0.3, 1.0]], requires_grad=True)
    goal, y = Evades(source=1, threshold=0.2), torch.tensor([1])
    passing = 1 / (1 + math.exp(0.7 - 0.2))
    loss = goal.loss(logits, y)
    assert float(loss.detach()) == pytest.approx(math.log(passing))
    for value in (loss, goal.margin(logits, y)):
        (grad,) = torch.autograd.grad(value.sum(), logits)
        assert grad[0, 1] < 0 < grad[0, 0]


@settings(max_examples=200, deadline=None)
@given(
    scores=st.lists(st.sampled_from([-1.0, 0.0, 0.1, 0.5, 1.0, 7.0]), min_size=1, max_size=30),
    rate=st.floats(0, 0.99),
    source=st.integers(0, 1),
)
def test_the_threshold_flags_at_most_the_rate_and_the_next_one_down_more(
    scores: list[float], rate: float, source: int
) -> None:
    logits = torch.zeros(len(scores), 2)
    logits[:, source] = torch.tensor(scores)
    threshold = operating_threshold(logits, rate, source=source)
    flagged = Evades(source=source, threshold=threshold).predicted(logits) == source
    assert flagged.sum() <= rate * len(scores)
    lower = Evades(source=source, threshold=threshold - 1e-5).predicted(logits) == source
    assert lower.sum() > rate * len(scores)


def test_a_threshold_by_hand() -> None:
    logits = torch.stack([torch.zeros(10), torch.arange(10.0)], 1)
    assert operating_threshold(logits, 0.2) == pytest.approx(7.0, abs=1e-5)
    assert operating_threshold(logits, 0.0) == pytest.approx(9.0, abs=1e-5)


@pytest.mark.parametrize(
    ("shape", "rate", "sentence"),
    [
        ((4, 2), 1.0, r"rate must be in \[0, 1\), got 1.0"),
        ((4, 2), -0.1, "got -0.1"),
        ((4, 3), 0.1, r"expected logits \[N, 2\] of samples, got shape \(4, 3\)"),
        ((0, 2), 0.1, r"got shape \(0, 2\)"),
    ],
)
def test_what_has_no_threshold(shape: tuple[int, int], rate: float, sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        operating_threshold(torch.zeros(shape), rate)


def test_bad_goals() -> None:
    with pytest.raises(BadInput, match="source must be class 0 or 1 of a two-class model, got 2"):
        Evades(source=2)
    with pytest.raises(BadInput, match="a model with 2 logits, got 3"):
        Evades().predicted(torch.zeros(1, 3))
