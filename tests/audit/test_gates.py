"""Each gate, at and around its limit."""

from __future__ import annotations

import pytest

from gradwarden.audit import gates
from gradwarden.core.examination import Gate
from gradwarden.core.records import Finding

FOUND = Finding(
    check="jumps", module="a", value=1.0, threshold=0.5, share=1.0, why="It jumps.", remedy="None."
)
ROWS = [
    ("green", gates.converged(0, 0, 0, 100)),
    ("green", gates.converged(50, 1, 50, 100)),  # exactly one point
    ("red", gates.converged(50, 2, 50, 100)),
    ("red", gates.converged(50, 1, 100, 100)),  # half of the survivors were tried
    ("not run", gates.unreachable()),
    ("green", gates.black_box(0, 50, ["queries"])),  # none, however few samples
    ("green", gates.black_box(9, 1000, ["queries"])),
    ("red", gates.black_box(10, 1000, ["queries"])),
    ("not run", gates.black_box(0, 1000, [])),
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
    assert "jumps" in gates.findings((FOUND,)).says
    assert (
        "Queries, random points break 10 of 1000"
        in gates.black_box(10, 1000, ["queries", "random points"]).says
    )
