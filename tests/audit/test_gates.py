"""Each gate, at and around its limit."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gradwarden.audit import gates
from gradwarden.audit.binarisation import Binarised
from gradwarden.audit.curve import Curve
from gradwarden.core.display import Series
from gradwarden.core.estimate import proportion
from gradwarden.core.examination import Gate
from gradwarden.core.records import Finding

FOUND = Finding(
    check="jumps", module="a", value=1.0, threshold=0.5, share=1.0, why="It jumps.", remedy="None."
)


def swept(last: int, *, whole: bool = True, note: str = "") -> Gate:
    share = proportion(last, 100)
    series = Series(name="adaptive", x=(0.1, 1.0), y=(0.5, share.value))
    return gates.sweep(Curve(series, share, share, 0.17, whole, note))


def binarised(asr: float, n: int = 50) -> Gate:
    return gates.binarisation(Binarised(asr, 0.1, n, "" if n else "Not run: no last layer."))


ROWS = [
    ("green", swept(0)),
    ("green", swept(17)),  # no more than an answer that looks at nothing gets
    ("red", swept(18)),
    ("not run", swept(18, note="3 of 9 features may not change.")),
    ("not run", swept(18, whole=False, note="The box has no ends.")),
    ("green", swept(17, note="3 of 9 features may not change.")),
    ("not run", gates.sweep(Curve(None, None, None, 0.1, False, "Not run: no other sizes."))),
    ("green", binarised(0.95)),
    ("red", binarised(0.94)),
    ("not run", binarised(float("nan"), 0)),
    ("green", gates.converged(0, 0, 0, 100)),
    ("green", gates.converged(50, 1, 50, 100)),  # exactly one point
    ("red", gates.converged(50, 2, 50, 100)),
    ("red", gates.converged(50, 1, 100, 100)),  # half of the survivors were tried
    ("not run", gates.unreachable()),
    ("green", gates.black_box(0, 50, ["queries"])),  # none, however few samples
    ("green", gates.black_box(9, 1000, ["queries"])),
    ("red", gates.black_box(10, 1000, ["queries"])),
    ("green", gates.black_box(1, 40, ["queries"])),  # a single sample
    ("red", gates.black_box(2, 40, ["queries"])),
    ("green", gates.black_box(0, 1000, [])),  # no sample was left to ask about
    ("green", gates.findings(())),
    ("red", gates.findings((FOUND,))),
    ("green", gates.constraints(3, 3)),
    ("red", gates.constraints(3, 2)),
]


@pytest.mark.parametrize(("state", "gate"), ROWS)
def test_each_row(state: str, gate: Gate) -> None:
    assert gate.state == state
    assert gate.says[0].isupper() or gate.says[0].isdigit()
    assert gate.says.endswith(".")
    assert (gate.settle != "") == (state != "green")


def test_what_the_gates_say() -> None:
    assert "breaks 2 of 50 samples" in gates.converged(50, 2, 50, 100).says
    assert "2.0 points" in gates.converged(50, 2, 50, 100).says
    assert "At radius 1 the attack leaves 18.0 % of 100 samples" in swept(18).says
    assert "finds 94 %, random points 10 %" in binarised(0.94).says
    assert "no last layer." in binarised(float("nan"), 0).says
    assert "jumps" in gates.findings((FOUND,)).says
    assert (
        "Queries and random points break 10 of 1000"
        in gates.black_box(10, 1000, ["queries", "random points"]).says
    )


def test_what_no_stand_in_helps_against_is_settled_otherwise() -> None:
    remembers = replace(FOUND, check="remembers")
    assert "surrogate()" in gates.findings((FOUND,)).settle
    assert "surrogate()" not in gates.findings((remembers,)).settle
    assert "puts its state back" in gates.findings((remembers,)).settle
    both = gates.findings((FOUND, remembers)).settle
    assert "surrogate()" in both
    assert "puts its state back" in both


def test_nothing_stored_and_nothing_measured_are_told_as_such() -> None:
    assert gates.constraints(0, 0).says == "No adversarial example is stored."
    swept = gates.sweep(Curve(None, None, None, 0.1, False, "Not run: no other sizes."))
    assert swept.says == "Accuracy against radius was not measured: no other sizes."
