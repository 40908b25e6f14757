"""Every row of the table from evidence to verdict."""

from __future__ import annotations

import pytest

from gradwarden.audit.verdict import Evidence, decide
from gradwarden.core.estimate import Estimate, proportion

HIDES = ("In module 'mask' the gradient is exactly zero.",)
OPEN = ("The same input gets different answers from call to call.",)


def evidence(
    naive: int = 80,
    adaptive: int = 80,
    *,
    n: int = 100,
    p_value: float = 1.0,
    hiding: tuple[str, ...] = (),
    open_: tuple[str, ...] = (),
    claim: float | None = None,
    clean: int = 95,
    missed: float = 0.0,
    witnesses: int | None = None,
) -> Evidence:
    def share(k: int) -> Estimate:
        return proportion(k * n // 100, n)

    return Evidence(
        clean=share(clean),
        naive=share(naive),
        adaptive=share(adaptive),
        p_value=p_value,
        witnesses=(naive - adaptive) * n // 100 if witnesses is None else witnesses,
        missed=missed,
        hiding=hiding,
        open=open_,
        claim=claim,
    )


ROWS = [
    ("masked", evidence(90, 5, p_value=1e-9, hiding=HIDES)),
    ("masked", evidence(90, 88, p_value=0.009, hiding=HIDES, n=1000)),
    ("masked", evidence(90, 5, p_value=1e-9, hiding=HIDES, claim=0.85)),
    ("masked", evidence(90, 5, p_value=1e-9, hiding=HIDES, open_=OPEN)),
    ("masked", evidence(90, 80, p_value=1e-3)),  # unexplained, but large
    ("consistent", evidence(90, 85, p_value=1e-3)),  # unexplained and small: a better attack
    ("inconclusive", evidence(90, 60, p_value=1e-3, open_=OPEN)),  # luck with a random model
    ("inconclusive", evidence(90, 85, p_value=0.06, hiding=HIDES)),  # may be chance
    ("consistent", evidence(90, 89, p_value=1e-3, hiding=HIDES)),  # an honest wall
    ("inconclusive", evidence(90, 5, p_value=1e-9, hiding=HIDES, witnesses=0)),
    ("consistent", evidence(80, 80)),
    ("consistent", evidence(0, 0)),
    ("consistent", evidence(80, 80, claim=0.8)),
    ("consistent", evidence(80, 80, claim=0.86)),
    ("overstated", evidence(80, 80, claim=0.89)),
    ("overstated", evidence(80, 78, claim=0.87)),  # only the adaptive attack refutes it
    ("overstated", evidence(80, 80, claim=0.89, open_=OPEN)),
    ("inconclusive", evidence(80, 80, open_=OPEN)),
    ("inconclusive", evidence(80, 80, missed=0.02)),
    ("inconclusive", evidence(0, 0, clean=0)),
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
    _, reasons = decide(evidence(90, 5, p_value=1e-9, hiding=HIDES, claim=0.85))
    text = " ".join(reasons)
    for part in ("90.0 %", "5.0 %", "85.0 points", "p = 1e-09", "85 witnesses", HIDES[0], "claim"):
        assert part in text
    assert "upper bound, no proof" in decide(evidence())[1][0]
    assert "quote the lower figure" in decide(evidence(90, 85, p_value=1e-3))[1][-1]
