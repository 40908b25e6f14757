"""The comparison on any tasks, from the pilot runs to the record: each claim by task, then pooled."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gradwarden import __version__
from gradwarden.compare import own
from gradwarden.compare.claims import a1_attackable, h4_cost
from gradwarden.compare.claims.c1_divergence import ID as DIVERGES
from gradwarden.compare.comparison import PACKAGES, judge, seconds_table
from gradwarden.compare.figures import figures, gallery
from gradwarden.compare.ladder import ladders
from gradwarden.compare.own_plan import Part, counted, finished, planned, refitted, told
from gradwarden.compare.own_verdict import SECURE, TRAIN, plain
from gradwarden.compare.pooled import commanded, pooled, prefix
from gradwarden.compare.runs import Runs
from gradwarden.compare.subjects import Absent, Subjects
from gradwarden.compare.verdict import CLIP, MASK, bottom_line, contender
from gradwarden.core.comparison import Answer, Comparison, Point
from gradwarden.core.display import Figure, Gallery, Row, Table
from gradwarden.core.provenance import environment
from gradwarden.core.records import Origin


def compared(
    subjects: Subjects, runs: Runs, *, seeds: int, minutes: float, command: str
) -> Comparison:
    """Runs as much on `subjects` as fits into `minutes`, by what runs cost so far, and judges it."""
    count = len(subjects.training) + len(subjects.security)
    runs.note(
        f"{counted(count, 'pilot run')} first, which tell what the rest costs; then about "
        f"{minutes:g} minutes at most."
    )
    seconds = 60.0 * minutes / count
    parts, again = list[Part](), planned(subjects, runs, seeds, seconds)
    while again != parts:
        for part in again:
            if len(part.fitted.jobs) > len(part.runs):
                runs.note(told(part))
        parts = finished(again, runs)
        again = [refitted(part, seconds) for part in parts]
    return page(parts, subjects.absent, command=command, elapsed=runs.elapsed, reused=runs.reused)


def page(
    parts: Sequence[Part], absent: Sequence[Absent], *, command: str, elapsed: float, reused: int
) -> Comparison:
    """The record that the finished `parts` amount to."""
    each = [_judged(part) for part in parts]
    answers = pooled([part.task.name for part in parts], each)
    purposes = {part.purpose for part in parts}
    answers = {id: commanded(_reasoned(a, purposes), command) for id, a in answers.items()}
    runs = tuple(run for part in parts for run in part.runs)
    names = ", ".join(part.task.name for part in parts)
    prefixed = len(parts) > 1
    sources = {name: digest for run in runs for name, digest in run.sources.items()}
    return Comparison(
        title=f"Clipping and masking on {names}",
        summary=tuple(
            replace(point, text=f"{part.task.name}: {point.text}") if prefixed else point
            for part, found in zip(parts, each, strict=True)
            for point in _sentences(part, found)
        ),
        contenders=(contender(CLIP, answers), contender(MASK, answers)),
        bottom_line=bottom_line(answers),
        answers=tuple(answers.values()),
        tables=(_ran(parts, absent),),
        figures=tuple(f for part in parts for f in _figures(part, prefixed, command)),
        galleries=tuple(g for part in parts for g in _galleries(part, prefixed, command)),
        seconds=seconds_table(runs, elapsed, reused),
        notes=tuple(_notes(parts, absent)),
        origin=Origin(
            version=__version__,
            command=command,
            environment=environment(PACKAGES),
            sources=dict(sorted(sources.items())),
            seeds=tuple(sorted({run.seed for run in runs})),
        ),
        runs=runs,
    )


def _judged(part: Part) -> dict[str, Answer]:
    answers = judge(part.results, part.picks)
    for claim in (a1_attackable, h4_cost):
        answers[claim.ID] = claim.judge(part.results, part.picks)
    return answers


def _reasoned(answer: Answer, purposes: set[str]) -> Answer:
    """Why a claim was not run, where no task here is for it."""
    wanted = TRAIN if answer.about == "clipping" else SECURE
    if wanted in purposes:
        return answer
    return replace(answer, says=f"Not run: no {wanted} task is among these.")


def _sentences(part: Part, answers: Mapping[str, Answer]) -> Iterator[Point]:
    """One to each question of the task's owner."""
    said = plain(part.purpose, answers)
    if part.purpose == TRAIN:
        yield said[0]
        yield from _rule(part)
        yield said[1]
    else:
        yield from said


def _rule(part: Part) -> Iterator[Point]:
    """Which rule, and which threshold: what clip advises from the first seed's own rate."""
    picks = part.picks
    runs = [r for r in part.results.trained if r.rate == part.task.rate and r.seed == 0]
    clipped = next(run for run in runs if run.rule == picks.clip)
    advice = own.advice_on(clipped)
    text = f"The bound that the pilot run advised is {picks.clip}"
    text += f"; {advice.role_why}." if advice else ", since its norms were too few to tell."
    (ladder,) = ladders(part.results.trained, higher=picks.words.higher).values()
    adaptive = ladder.of(repr(own.ADAPTIVE))
    if adaptive:
        shared = {(run.rate, run.seed) for run in adaptive}
        fixed = [r for r in ladder.of(picks.clip) if (r.rate, r.seed) in shared]
        text += (
            f" Of {len(adaptive)} runs, {sum(r.diverged for r in fixed)} diverged with it and "
            f"{sum(r.diverged for r in adaptive)} with the rule Adaptive, which needs no threshold."
        )
    yield Point(text=text, claims=(DIVERGES,))


def _figures(part: Part, prefixed: bool, command: str) -> Iterator[Figure]:
    for figure in figures(part.results, part.picks):
        yield replace(figure, command=command, **_place(figure, part, prefixed))


def _galleries(part: Part, prefixed: bool, command: str) -> Iterator[Gallery]:
    for shown in gallery(part.results):
        yield replace(shown, command=command, **_place(shown, part, prefixed))


def _place(shown: Figure | Gallery, part: Part, prefixed: bool) -> dict[str, Any]:
    """Id and title; with the task's name where the page has several."""
    name = part.task.name
    if not prefixed:
        return {"id": shown.id, "title": shown.title}
    return {"id": prefix(name, shown.id), "title": f"{name}: {shown.title}"}


def _ran(parts: Sequence[Part], absent: Sequence[Absent]) -> Table:
    rows = [
        Row(
            cells=(
                part.task.name,
                part.task.field,
                str(len(part.runs)),
                f"not run in this budget: {'; '.join(part.fitted.left)}"
                if part.fitted.left
                else "-",
            )
        )
        for part in parts
    ]
    rows += [Row(cells=(one.name, one.field, "0", one.why)) for one in absent]
    columns = ("task", "field", "runs", "what is missing")
    return Table(title="What was run", columns=columns, rows=tuple(rows))


def _notes(parts: Sequence[Part], absent: Sequence[Absent]) -> Iterator[str]:
    yield from (f"{part.task.name}: {part.task.provenance}" for part in parts)
    yield from (f"{one.name}: {one.why}." for one in absent)
    for part in parts:
        metrics = _metrics(part)
        if metrics:
            yield f"{part.task.name}: {metrics}"
    yield (
        "Rates, radii and the definitions of stable and diverged were fixed before the runs; the "
        "threshold comes from one pilot run, clipped by the rule Adaptive."
    )
    yield (
        "Accuracy under attack is an upper bound on robustness: a stronger attack may lower it. No "
        "answer here says that a model is robust."
    )


def _metrics(part: Part) -> str:
    """The task's own figures, clean and under the adaptive attack, defence by defence."""
    told: list[str] = []
    for run in part.results.defended:
        clean, attacked = run.metrics.get("clean", {}), run.metrics.get("adaptive", {})
        both: list[Any] = [
            f"{k} {clean[k]:.2f}, attacked {attacked[k]:.2f}" for k in clean if k in attacked
        ]
        if both:
            told.append(f"{run.defence or 'no defence'}: {'; '.join(both)}.")
    return " ".join(told)
