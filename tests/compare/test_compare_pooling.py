"""Pooled estimates: closed forms, SciPy, coverage of a known truth, and what is left out."""

from __future__ import annotations

import math
import random

import pytest
from scipy.stats import ttest_1samp
from test_compare_verdict import answers

from gradwarden.compare.evidence import ALL, matrix
from gradwarden.compare.pooled import part_id, pooled
from gradwarden.compare.pooling import (
    NORMAL,
    over_nets,
    pooled_mean,
    pooled_share,
    shares_over_nets,
)
from gradwarden.compare.subjects import Absent
from gradwarden.core.comparison import Answer
from gradwarden.core.errors import BadInput
from gradwarden.core.estimate import Estimate, answer, paired_mean, proportion


def mean(value: float, error: float, **options: object) -> Estimate:
    half = NORMAL * error
    return Estimate(value=value, low=value - half, high=value + half, n=5, **options)  # type: ignore[arg-type]


def test_equal_parts_by_hand() -> None:
    """No spread: the mean, with the error of the mean; n adds up."""
    found = pooled_mean([mean(1.0, 0.3)] * 9)
    assert found.value == pytest.approx(1.0)
    assert found.high - found.value == pytest.approx(NORMAL * 0.1)
    assert found.n == 45


def test_two_parts_far_apart_by_hand() -> None:
    """What is between is all there is: 1 and 3, so t(1) times 1 around 2."""
    found = pooled_mean([mean(1.0, 1e-6), mean(3.0, 1e-6)])
    assert found.value == pytest.approx(2.0)
    assert found.high - found.value == pytest.approx(12.7062, rel=1e-3)


def test_as_scipy_does() -> None:
    rng = random.Random(1)
    for _ in range(20):
        values = [rng.gauss(0, 1) for _ in range(rng.randint(2, 8))]
        theirs = ttest_1samp(values, 0.0).confidence_interval()
        ours = pooled_mean([mean(v, 1e-3) for v in values])
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))


def test_a_part_of_no_width_does_not_decide_alone() -> None:
    """Nothing changed on one task of six; on the others a gain is plain."""
    found = pooled_mean([mean(0.0, 0.0), *(mean(1.0 + 0.1 * k, 0.2) for k in range(5))])
    assert found.value == pytest.approx(1.0)
    assert 0.3 < found.low < found.high < 1.7


@pytest.mark.parametrize("between", [0.0, 0.3])
def test_the_interval_holds_the_truth(between: float) -> None:
    rng, held = random.Random(0), 0
    for _ in range(600):
        parts = []
        for _ in range(6):
            here = rng.gauss(0.5, between)
            parts.append(paired_mean([rng.gauss(here, 0.3) for _ in range(5)]))
        found = pooled_mean(parts)
        held += found.low <= 0.5 <= found.high
    assert held / 600 >= 0.93


def test_shares_are_pooled_as_odds() -> None:
    found = pooled_share([proportion(50, 100), proportion(50, 100)])
    assert found.value == pytest.approx(0.5)
    assert found.n == 200
    assert 0.42 < found.low < 0.45
    sure = pooled_share([proportion(0, 50), proportion(0, 40), proportion(1, 60)])
    assert 0.0 < sure.low < sure.value < 0.05
    assert sure.high < 0.2


def test_one_part_stays_as_it_is_and_the_unknown_is_left_out() -> None:
    alone, unknown = mean(1.0, 0.1), paired_mean([3.0])
    assert pooled_mean([alone]) is alone
    assert pooled_mean([alone, unknown]) is alone
    assert math.isinf(pooled_mean([unknown, unknown]).high)
    exact = proportion(3, 7)
    assert pooled_share([exact]) is exact
    assert pooled_share([exact, proportion(0, 0)]) is exact
    with pytest.raises(BadInput, match="got no estimates"):
        pooled_mean([])


def test_bounds() -> None:
    low, high = mean(1.0, 0.1, bound="at least"), mean(1.0, 0.1, bound="at most")
    assert pooled_mean([low, mean(1.0, 0.1)]).bound == "at least"
    assert pooled_mean([low, high]).bound == ""


# Answers


def said(effect: Estimate | None, *, about: str = "clipping", **options: object) -> Answer:
    blank = answers({})["C1"]
    which = "not run" if effect is None else answer(effect, null=0.0, smallest=0.0)
    made = {"about": about, "effect": effect, "answer": which, "claim": "here."} | options
    return Answer(**({f: getattr(blank, f) for f in blank.__dataclass_fields__} | made))


GENERAL = {"C1": said(None, claim="Everywhere."), "M1": said(None, about="masking", id="M1")}
UP, DOWN, WIDE = mean(1.0, 0.1), mean(-1.0, 0.1), mean(0.0, 3.0)


def test_one_answer_from_several_tasks() -> None:
    tasks = ["a", "b", "c"]
    whole = pooled(tasks, [{"C1": said(UP)}] * 3, GENERAL)["C1"]
    assert (whole.answer, whole.claim) == ("supported", "Everywhere.")
    some = pooled(tasks, [{"C1": said(UP)}, {"C1": said(UP)}, {"C1": said(WIDE)}], GENERAL)["C1"]
    assert some.answer == "open"
    assert "supported on 2, refuted on 0, open on 1" in some.says
    assert [part.id for part in whole.parts] == [part_id("C1", task) for task in tasks]
    assert pooled(tasks[:2], [{"C1": said(UP)}, {"C1": said(DOWN)}], GENERAL)["C1"].answer == "open"


def test_two_tasks_are_too_few_for_a_mean_over_tasks() -> None:
    both = pooled(["a", "b"], [{"C1": said(UP)}, {"C1": said(UP)}], GENERAL)["C1"]
    assert (both.answer, both.effect) == ("supported", None)
    assert both.says.startswith("By task: a: ")
    one = pooled(["a", "b"], [{"C1": said(UP)}, {"C1": said(WIDE)}], GENERAL)["C1"]
    assert one.answer == "open"


def test_nets_of_one_task_are_alike_and_few() -> None:
    """Two nets that agree settle what each settles; nets that differ widen the interval."""
    two = shares_over_nets([proportion(16, 100), proportion(10, 100)])
    assert 0.05 < two.low < two.value < two.high < 0.25
    assert shares_over_nets([proportion(5, 100), proportion(95, 100)]).high > 0.9
    alike = over_nets([mean(1.0, 0.3)] * 4)
    assert alike.high - alike.value == pytest.approx(NORMAL * 0.15)
    apart = over_nets([mean(0.0, 0.1), mean(2.0, 0.1)])
    assert apart.high - apart.value == pytest.approx(NORMAL, rel=0.01)
    # Two nets that differ as much as chance lets them: what is within is not counted twice.
    chance = over_nets([mean(-0.3, 0.3), mean(0.3, 0.3)])
    assert chance.high == pytest.approx(NORMAL * 0.3)


def test_a_claim_of_one_task_is_its_answer() -> None:
    found = pooled(["a", "b"], [{"C1": said(UP)}, {"C1": said(None)}], GENERAL)
    assert (found["C1"].answer, found["C1"].parts, found["C1"].claim) == ("supported", (), "here.")
    assert found["M1"].answer == "not run"


def test_parts_are_pooled_by_subject() -> None:
    def masks(first: Estimate, second: Estimate) -> Answer:
        parts = (said(first, subject="A"), said(second, subject="B"))
        return said(None, parts=parts, answer="open")

    tasks = ["a", "b", "c"]
    both = pooled(tasks, [{"C1": masks(UP, UP)}] * 3, GENERAL)["C1"]
    assert both.answer == "supported"
    assert [part.subject for part in both.parts[:2]] == ["A", "B"]
    assert [part.id for part in both.parts[:2]] == ["C1.1", "C1.2"]
    mixed = pooled(tasks, [{"C1": masks(UP, DOWN)}] * 3, GENERAL)["C1"]
    assert mixed.answer == "open"
    assert "A " in mixed.says


def test_the_matrix_shows_tasks_by_claims() -> None:
    each = [
        {"C1": said(UP)},
        {"C1": said(None, says="Not run: why.")},
        {"M1": said(DOWN, id="M1", about="masking")},
    ]
    tasks = [("a", "RNN"), ("b", "RL"), ("c", "fraud")]
    whole = pooled([name for name, _ in tasks], each, GENERAL)
    made = matrix(tasks, each, whole, [Absent("d", "medicine", "security", "not run: needs FILE")])
    assert made.claims == ("C1", "M1")
    rows = {line.task: {cell.claim: cell for cell in line.cells} for line in made.lines}
    assert list(rows) == ["a", "b", "c", "d", ALL]
    assert [rows["a"][id].answer for id in made.claims] == ["supported", ""]
    assert rows["b"]["C1"].says == "Not run: why."
    assert (rows["d"]["M1"].answer, rows["d"]["M1"].says) == ("not run", "not run: needs FILE")
    assert rows["d"]["C1"].answer == ""
    known = {answer.id for answer in whole.values()}
    assert {cell.evidence for cells in rows.values() for cell in cells.values()} <= {"", *known}
