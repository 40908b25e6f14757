"""What a page says of its tasks beside the claims: what was run, and the limits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gradwarden.compare.part import Part
from gradwarden.compare.subjects import Absent
from gradwarden.core.display import Row, Table


def ran(parts: Sequence[Part], absent: Sequence[Absent]) -> Table:
    rows = [
        Row(cells=(part.task.name, part.task.field, str(len(part.runs)), _missing(part)))
        for part in parts
    ]
    rows += [Row(cells=(one.name, one.field, "0", one.why)) for one in absent]
    columns = ("task", "field", "runs", "what is missing")
    return Table(title="What was run", columns=columns, rows=tuple(rows))


def _missing(part: Part) -> str:
    return f"not run in this budget: {part.missing}" if part.left else "-"


def notes(parts: Sequence[Part], absent: Sequence[Absent]) -> Iterator[str]:
    yield from (f"{part.task.name}: {part.task.provenance}" for part in parts)
    yield from (f"{one.name}: {one.why}." for one in absent)
    for part in parts:
        metrics = _metrics(part)
        if metrics:
            yield f"{part.task.name}: {metrics}"
    yield (
        "Rates, radii and the definitions of stable and diverged were fixed before the runs; the "
        "fixed bound comes from one pilot run, clipped by the rule Adaptive, or is the field's own. "
        "Further seeds and treatments were run at rates that the first two seeds chose."
    )
    yield (
        "Accuracy under attack is an upper bound on robustness: a stronger attack may lower it. No "
        "answer here says that a model is robust."
    )


def _metrics(part: Part) -> str:
    """The task's own figures of the first net, clean and under the adaptive attack."""
    told: list[str] = []
    for run in part.results.defended:
        clean, attacked = run.metrics.get("clean", {}), run.metrics.get("adaptive", {})
        both = [f"{k} {clean[k]:.2f}, attacked {attacked[k]:.2f}" for k in clean if k in attacked]
        if both and run.seed == 0:
            told.append(f"{run.defence or 'no defence'}: {'; '.join(both)}.")
    return " ".join(told)
