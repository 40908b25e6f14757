"""A comparison of 5,000 runs: seconds to plan it, to resume it and to write its report.

The runs are made up: a training run each, with four series of 200 numbers. `python
benchmarks/compare_store.py` prints the table and keeps it in benchmarks/results/compare_store.md;
`--runs N` tries another number and keeps nothing.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gradwarden.compare.results import Results, Trained, as_result
from gradwarden.compare.runs import Runs
from gradwarden.compare.store import Store
from gradwarden.compare.training import TrainingJob
from gradwarden.core.comparison import Comparison, Run
from gradwarden.core.display import Table
from gradwarden.core.provenance import environment
from gradwarden.core.records import Origin, from_json, to_json
from gradwarden.report.files import write
from gradwarden.tasks.lstm_text import LSTMText

RESULTS = Path(__file__).parent / "results" / "compare_store.md"
RUNS, STEPS = 5000, 200
CHANGED = "core/files.py"
TARGET = 5.0  # seconds, of each but the writing of the runs, which takes as long as they are made
T = TypeVar("T")


class Timed(NamedTuple):
    what: str
    seconds: float  # on the clock
    busy: float  # of the processor
    judged: bool


def timed(rows: list[Timed], what: str, work: Callable[[], T], *, judged: bool = True) -> T:
    clock, busy = time.perf_counter(), time.process_time()
    found = work()
    rows.append(Timed(what, time.perf_counter() - clock, time.process_time() - busy, judged))
    return found


def result(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)
    # As many digits as a training run stores.
    series = [tuple(float(f"{draw.random():.5g}") for _ in range(STEPS)) for _ in range(4)]
    return as_result(
        Trained(
            net="lstm",
            optimizer="SGD",
            rule="MaxNorm(max_norm=0.25)",
            rate=8.0,
            seed=seed,
            steps=STEPS,
            target=2.0,
            losses=series[0],
            norms=series[1],
            thresholds=series[2],
            coefficients=series[3],
            nonfinite_step=None,
            validation=draw.random(),
            test=draw.random(),
        )
    )


def jobs(number: int, rate: float = 8.0) -> list[TrainingJob]:
    task = LSTMText()
    return [TrainingJob(of=task, optimizer="SGD", rate=rate, seed=seed) for seed in range(number)]


def record(runs: tuple[Run, ...]) -> Comparison:
    """A page that is empty but for its runs."""
    nothing = Table(title="Where the seconds went", columns=(), rows=())
    origin = Origin(version="0", command="", environment={}, sources={}, seeds=())
    return Comparison(
        title="Made-up runs",
        summary=(),
        contenders=(),
        bottom_line=(),
        answers=(),
        tables=(),
        figures=(),
        galleries=(),
        seconds=nothing,
        notes=(),
        origin=origin,
        runs=runs,
    )


def measured(number: int, folder: Path) -> list[Timed]:
    rows: list[Timed] = []
    wanted, runs = jobs(number), folder / "runs"
    first = timed(rows, "plan: nothing is stored", lambda: Store(runs).plan(wanted))
    results = [result(job.seed) for job in wanted]
    assert first.missing == wanted

    def fill() -> None:
        place = Store(runs)
        for job, one in zip(wanted, results, strict=True):
            place.write(job, 1.0, one)

    timed(rows, "write the runs, each to the disk", fill, judged=False)
    plan = timed(rows, "plan: all is stored", lambda: Store(runs).plan(wanted))
    assert (len(plan.done), plan.missing) == (number, [])
    others = jobs(number, rate=4.0)
    timed(rows, "plan: as many others are stored", lambda: Store(runs).plan(others))

    def resumed() -> tuple[Run, ...]:
        found = Runs(Store(runs), None, None).of(wanted)
        assert len(Results.of(found).trained) == number
        return found

    whole = record(timed(rows, "resume: take all and sort them by kind", resumed))

    def report() -> None:
        write(whole, folder / "results.json")
        write(whole, folder / "index.html")

    timed(rows, "report: write the record and the page", report)
    text = (folder / "results.json").read_text(encoding="utf-8")
    back = timed(rows, "report: read the record", lambda: from_json(text, Comparison))
    assert to_json(back) == text
    outdate(runs)
    stale = timed(rows, "plan: all is stored, by other code", lambda: Store(runs).plan(wanted))
    assert (stale.invalidated, stale.changed) == (number, (CHANGED,))
    return rows


def outdate(runs: Path) -> None:
    """Makes all runs those of another version of the file `CHANGED`."""
    for file in runs.glob("*.json"):
        text = file.read_text(encoding="utf-8")
        file.write_text(text.replace(f'"{CHANGED}": "', f'"{CHANGED}": "0'), encoding="utf-8")
        file.rename(file.with_name(file.name.partition(".")[0] + ".0.json"))


def render(number: int, rows: list[Timed]) -> str:
    where = ", ".join(f"{k} {v}" for k, v in environment(()).items())
    load = ", ".join(f"{part:.1f}" for part in os.getloadavg())
    lines = [
        f"| {row.what} | {row.seconds:.2f} | {row.busy:.2f} | {verdict(row)} |" for row in rows
    ]
    table = "\n".join(lines)
    return f"""# A comparison of {number:,} runs

Made-up training runs, four series of {STEPS} numbers each. `python benchmarks/compare_store.py`

| what | seconds | of the processor | at most {TARGET:g} s |
|---|---|---|---|
{table}

{where}. Load of the machine at the end: {load}.
"""


def verdict(row: Timed) -> str:
    if not row.judged:
        return ""
    return "met" if row.seconds <= TARGET else "MISSED"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=RUNS, help="the table is then only printed")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        shown = render(options.runs, measured(options.runs, Path(name)))
    print(shown)
    if options.runs == RUNS:
        RESULTS.write_text(shown, encoding="utf-8")
