"""Definitions that were fixed before the runs: diverged, target reached, slope; and the way back."""

import json

import pytest
from made_up_runs import PLAIN, defended, grown, lost, trained

from gradwarden.compare.results import Result, Results, as_result, both
from gradwarden.core.comparison import Run
from gradwarden.core.records import plain


@pytest.mark.parametrize(
    ("losses", "diverged"),
    [
        ((4.0,) * 90 + (3.9,) * 10, False),
        ((4.0,) * 90 + (4.1,) * 10, True),
        ((4.0,) * 89 + (100.0,) + (4.0,) * 10, False),  # a spike before the tail
        ((4.0,) * 90 + (8.0,) + (3.0,) * 9, False),  # a spike in the tail: its mean decides
        ((4.0,) * 90 + (8.0,) + (3.9,) * 9, True),
    ],
)
def test_diverged_is_a_tail_above_the_first_loss(losses: tuple[float, ...], diverged: bool) -> None:
    assert trained(losses=losses).diverged is diverged


def test_a_nonfinite_step_is_divergence() -> None:
    assert lost().diverged
    assert lost(losses=(), norms=(), coefficients=(), nonfinite_step=0).diverged


@pytest.mark.parametrize(
    ("losses", "step"),
    [
        ((2.0,) * 20, 10),  # no earlier than the mean has all its steps
        ((4.0,) * 10 + (2.0,) * 10, 20),
        ((3.0,) * 10 + (1.0,) * 10, 15),  # the mean of five 3 and five 1 is the target 2
        ((4.0,) * 30, None),
        ((2.0,) * 9, None),
    ],
)
def test_steps_to_target(losses: tuple[float, ...], step: int | None) -> None:
    assert trained(losses=losses).steps_to_target == step


def test_share_and_mean_of_clipping() -> None:
    run = trained(coefficients=(1.0, 0.5, 0.5, 1.0))
    assert (run.clipped, run.coefficient) == (0.5, 0.75)


def test_slope_is_least_squares() -> None:
    assert grown(0.3).slope == pytest.approx(0.3)
    bent = grown(0.0, sizes=(0.0, 1.0, 2.0), log_norms=(0.0, 0.0, 3.0))
    assert bent.slope == pytest.approx(1.5)


def test_both_is_right_under_each() -> None:
    assert both("1100", "1010") == "1000"
    with pytest.raises(ValueError, match="zip"):
        both("11", "1")


def test_results_come_back_from_json() -> None:
    made: list[Result] = [
        PLAIN,
        lost(),
        grown(1.0),
        defended("A", "mask", naive="10", adaptive="00"),
    ]
    runs = [
        Run(
            task="t",
            arm="a",
            seed=0,
            config={},
            sources={},
            seconds=1.0,
            result=json.loads(json.dumps(plain(as_result(result)))),
        )
        for result in made
    ]
    back = Results.of(runs)
    assert [*back.trained, *back.grown, *back.defended] == made
