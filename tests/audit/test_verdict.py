"""Every row of the table from evidence to verdict."""

from __future__ import annotations

import pytest

from gradwarden.audit.verdict import Evidence, decide
from gradwarden.core.estimate import Estimate, mcnemar, proportion
from gradwarden.core.examination import Gate

HIDES = ("In module 'mask' the gradient is exactly zero.",)
OPEN = ("The same input gets different answers from call to call.",)
RED = (Gate(name="black box", state="red", says="Queries break more.", settle="Ask more."),)
GREEN = (Gate(name="converged", state="green", says="Longer searches break nothing."),)
SKIPPED = (*GREEN, Gate(name="binarisation", state="not run", says="No last layer."))
FINDINGS = (Gate(name="findings", state="red", says="Nothing was found to go around: x."),)


def evidence(
    naive: int = 80,
    adaptive: int = 80,
    *,
    n: int = 100,
    p_value: float | None = None,
    hiding: tuple[str, ...] = (),
    open_: tuple[str, ...] = (),
    gates: tuple[Gate, ...] = GREEN,
    claim: float | None = None,
    clean: int = 95,
    certified: int | None = None,
    gap: float | None = None,
    around: int | None = None,
    lost: float = 0.0,
) -> Evidence:
    def share(k: int) -> Estimate:
        return proportion(k * n // 100, n)

    beyond = (naive - adaptive) * n // 100
    away = beyond if around is None else around * n // 100
    return Evidence(
        clean=share(clean),
        naive=share(naive),
        adaptive=share(adaptive),
        certified=None if certified is None else share(certified),
        gap=beyond / n if gap is None else gap,
        p_value=mcnemar(beyond, 0) if p_value is None else p_value,
        around=away / n,
        around_p=mcnemar(away, 0),
        lost=lost,
        hiding=hiding,
        open=open_,
        gates=gates,
        claim=claim,
    )


ROWS = [
    ("masked", evidence(90, 5, hiding=HIDES)),
    ("masked", evidence(90, 5, hiding=HIDES, claim=0.85)),
    ("masked", evidence(90, 5, hiding=HIDES, open_=OPEN)),
    ("masked", evidence(90, 5, hiding=HIDES, gates=RED)),
    ("masked", evidence(90, 80, n=200)),  # unexplained, but not along the gradient
    ("overstated", evidence(90, 40, around=5)),  # a better search along the same gradient
    ("masked", evidence(90, 40, around=5, hiding=HIDES)),
    ("inconclusive", evidence(90, 88, lost=0.02)),  # points that did not hold
    ("consistent", evidence(80, 80, certified=0)),  # nothing is proved
    ("consistent", evidence(0, 0, certified=0, claim=0.0)),
    ("masked", evidence(90, 5, certified=2)),
    ("consistent", evidence(90, 80, p_value=0.002)),  # 10 points, and may be chance
    ("consistent", evidence(90, 85)),  # unexplained and small: a better attack
    ("overstated", evidence(90, 85, hiding=HIDES, n=1000)),  # explained, under 10 points
    ("inconclusive", evidence(90, 85, p_value=0.06, hiding=HIDES)),  # may be chance
    ("consistent", evidence(90, 89, hiding=HIDES)),  # an honest wall
    ("inconclusive", evidence(90, 5, gap=0.0, p_value=1.0, lost=0.85)),  # no witness held
    ("consistent", evidence(80, 80)),
    ("consistent", evidence(0, 0)),
    ("consistent", evidence(80, 80, gates=SKIPPED)),
    ("consistent", evidence(80, 80, claim=0.8)),
    ("consistent", evidence(80, 80, claim=0.86)),
    ("overstated", evidence(80, 80, claim=0.89)),
    ("overstated", evidence(80, 78, claim=0.87)),  # only the adaptive attack refutes it
    ("overstated", evidence(80, 80, claim=0.89, open_=OPEN)),
    ("overstated", evidence(95, 95, claim=1.0)),  # more than without an attack
    ("inconclusive", evidence(80, 80, open_=OPEN, gates=FINDINGS)),
    ("inconclusive", evidence(80, 80, gates=RED)),
    ("inconclusive", evidence(0, 0, clean=0)),
    ("certified", evidence(80, 80, certified=79)),
    ("certified", evidence(80, 80, certified=79, gates=RED)),  # a proof needs no gate
    ("certified", evidence(80, 80, certified=60, claim=0.6)),
    ("certified", evidence(90, 60, certified=60, claim=0.6, hiding=HIDES)),
    ("consistent", evidence(80, 80, certified=60)),
    ("consistent", evidence(80, 80, certified=60, claim=0.7)),
    ("inconclusive", evidence(0, 0, clean=0, certified=0)),
]


@pytest.mark.parametrize(("verdict", "seen"), ROWS)
def test_each_row(verdict: str, seen: Evidence) -> None:
    found, reasons = decide(seen)
    assert found == verdict
    assert reasons
    for reason in reasons:
        assert reason[0].isupper()
        assert reason.endswith(".")
    assert not any("robust." in reason for reason in reasons)


def test_reasons_say_the_figures() -> None:
    _, reasons = decide(evidence(90, 5, hiding=HIDES, claim=0.85))
    text = " ".join(reasons)
    for part in (
        "90.0 %",
        "5.0 %",
        "85.0 points",
        "p = 5.2e-26",
        "85 witnesses",
        HIDES[0],
        "claim",
    ):
        assert part in text
    assert "upper bound, no proof" in decide(evidence())[1][0]
    assert "quote the lower figure" in decide(evidence(90, 85))[1][-1]


def test_a_red_gate_says_what_would_settle_it_and_one_not_run_is_named() -> None:
    assert "Queries break more. Ask more." in decide(evidence(gates=RED))[1]
    assert "Not run in this budget: binarisation." in decide(evidence(gates=SKIPPED))[1]


def test_a_certificate_is_quoted() -> None:
    _, reasons = decide(evidence(certified=60, claim=0.6))
    assert "A certificate holds for 60.0 %" in reasons[0]
    assert "the claim of 60.0 % or more" in reasons[0]
