"""C0: gradients grow exponentially with sequence length and depth.

Source of the claim: Bengio et al. 1994; Pascanu et al. 2013, arXiv:1211.5063, sec. 2.
"""

from __future__ import annotations

import math

from gradwarden.compare.claims.words import from_parts, judged, not_run, number, plain
from gradwarden.compare.results import Grown, Results
from gradwarden.core.comparison import Answer
from gradwarden.core.display import Row, Table
from gradwarden.core.estimate import paired_mean

ID = "C0"
CLAIM = "Gradients grow exponentially with sequence length and with depth."
# A factor of two within a hundred time steps, or within ten layers: less does not matter in use.
SMALLEST = {"length": math.log(2) / 100, "depth": math.log(2) / 10}
UNIT = {"length": "time step", "depth": "layer"}


def judge(results: Results) -> Answer:
    groups: dict[tuple[str, str, str], list[Grown]] = {}
    for run in (run for run in results.grown if len(run.sizes) > 1):
        groups.setdefault((run.along, run.state, run.net), []).append(run)
    if not groups:
        return not_run(ID, CLAIM, "clipping", "no gradient was measured against length or depth")
    parts = tuple(_part(n, key, runs) for n, (key, runs) in enumerate(groups.items(), 1))
    grow = sum(part.answer == "supported" for part in parts)
    steepest = max(parts, key=lambda part: part.effect.value if part.effect else -math.inf)
    says = (
        f"{grow} of {len(parts)} settings show exponential growth beyond doubt; the steepest: "
        f"{steepest.says}"
    )
    return from_parts(
        id=ID,
        claim=CLAIM,
        about="clipping",
        says=says,
        how=(
            "Slope of the log norm of the parameter gradient, in float64, against the number of "
            "time steps or of layers: in fresh nets, and at the worst of the first unclipped "
            "steps. Null 0; a slope counts from a factor of two within 100 time steps or 10 "
            "layers. Interval: Student's t over seeds."
        ),
        parts=parts,
        table=_table(groups),
        figures=("growth", "growth-depth"),
    )


def _part(n: int, key: tuple[str, str, str], runs: list[Grown]) -> Answer:
    along, state, net = key
    slope = paired_mean([run.slope for run in runs])
    factor = math.exp(min(700.0, slope.value))
    return judged(
        id=f"{ID}.{n}",
        claim=f"Gradients grow exponentially with {along}: {net}, {state}.",
        about="clipping",
        says=(
            f"{net}, {state}: slope {plain(slope)} per {UNIT[along]}, a factor of "
            f"{number(factor)} for each {UNIT[along]} more."
        ),
        how=f"Slope of the log gradient norm per {UNIT[along]}, null 0.",
        effect=slope,
        null=0.0,
        smallest=SMALLEST[along],
        unit=f"log norm per {UNIT[along]}",
        subject=along,
    )


def _table(groups: dict[tuple[str, str, str], list[Grown]]) -> Table:
    rows = []
    for (along, state, net), runs in groups.items():
        slope = paired_mean([run.slope for run in runs])
        sizes = runs[0].sizes
        cells = (f"{net}, {state}", along, f"{sizes[0]:g} to {sizes[-1]:g}", plain(slope))
        rows.append(Row(cells=(*cells, str(slope.n))))
    columns = ("net", "along", "range", "slope of the log norm", "seeds")
    return Table(title="Growth of the gradient norm", columns=columns, rows=tuple(rows))
