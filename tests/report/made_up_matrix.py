"""A made-up comparison over many tasks: a matrix, its evidence and lists of runs; nothing measured."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from made_up import claim, comparison, estimate, loss_by_rate

from gradwarden.core.comparison import (
    Answer,
    Cell,
    Comparison,
    Line,
    Matrix,
    Point,
    Run,
    RunList,
)
from gradwarden.core.display import Row, Table
from gradwarden.report.numbers import MINUS

CLAIMS = {
    "C0": "Gradients grow exponentially with sequence length and depth.",
    "C1": "Clipping prevents divergence and NaN.",
    "C2": "Clipping allows larger learning rates.",
    "C3": "Clipping converges faster.",
    "C4": "Clipping does not cost performance.",
    "C5": "Clipping is essential in RL, NLP and time series.",
    "M1": "Masking stops attackers who follow the gradient.",
    "M2": "Masking makes the model secure.",
    "M3": "Masking suits vehicles, fraud and medicine.",
}
TASKS = {
    "rnn-temporal-order": "RNN",
    "lstm-text": "LSTM, NLP",
    "gpt-text": "transformer, NLP",
    "demand-forecast": "time series",
    "motion-classify": "time series",
    "cartpole-ppo": "RL",
    "lane-keeping": "vehicles",
    "traffic-signs": "vehicles",
    "phishing": "fraud",
    "breast-cancer": "medicine",
    "thyroid": "medicine",
    "digits-cnn": "images",
}
FIRST_SECURITY = 6  # tasks from here on are about masking
NO_FILE = "not run: needs GTSRB.zip from https://benchmark.ini.rub.de, given with --data"
NO_TIME = "not run in this budget"
SAID = {
    "supported": "12 points [4, 20]",
    "refuted": f"{MINUS}31 points [{MINUS}38, {MINUS}24]",
    "open": f"2 points [{MINUS}5, 9]",
    "not run": "",
}
EFFECTS = {"supported": estimate(12, 8), "refuted": estimate(-31, 7), "open": estimate(2, 7)}
POOLED = "all tasks"


def word(task: int, column: int) -> str:
    """A made-up answer; "" where the claim is not about the task."""
    id, name = list(CLAIMS)[column], list(TASKS)[task]
    if task < FIRST_SECURITY if id[0] == "M" else id in ("C0", "C5") and task >= FIRST_SECURITY:
        return ""
    if name == "traffic-signs" or (name == "cartpole-ppo" and id == "C3"):
        return "not run"
    if id == "M2":
        return "refuted"
    return ("supported", "open", "supported", "supported", "refuted")[(3 * task + column) % 5]


def parts(column: int) -> tuple[Answer, ...]:
    id = list(CLAIMS)[column]
    found = []
    for task, name in enumerate(TASKS):
        answer = word(task, column)
        if answer and answer != "not run":
            found.append(
                claim(
                    f"{id}, {name}",
                    f"{name}: {CLAIMS[id]}",
                    answer,
                    about="masking" if id[0] == "M" else "clipping",
                    effect=EFFECTS[answer],
                    runs=(name,),
                    figures=("loss-by-rate",) if (id, name) == ("C1", "lstm-text") else (),
                )
            )
    return tuple(found)


def answers() -> tuple[Answer, ...]:
    pooled = []
    for column, (id, sentence) in enumerate(CLAIMS.items()):
        more: dict[str, Any] = {"about": "masking"} if id[0] == "M" else {}
        own = parts(column)
        runs = tuple(run for part in own for run in part.runs)
        answer = "refuted" if id == "M2" else "open" if id == "C3" else "supported"
        pooled.append(
            claim(id, sentence, answer, effect=EFFECTS[answer], parts=own, runs=runs, **more)
        )
    return tuple(pooled)


def matrix() -> Matrix:
    lines = []
    for task, (name, field) in enumerate(TASKS.items()):
        cells = []
        for column, id in enumerate(CLAIMS):
            answer = word(task, column)
            if answer == "not run":
                says = NO_FILE if name == "traffic-signs" else NO_TIME
                cells.append(Cell(claim=id, answer=answer, says=says))
            elif answer:
                evidence = f"{id}, {name}"
                says = f"On {name}: {SAID[answer]}."
                cells.append(
                    Cell(claim=id, answer=answer, text=SAID[answer], says=says, evidence=evidence)
                )
            else:
                cells.append(Cell(claim=id, answer=""))
        lines.append(Line(task=name, field=field, cells=tuple(cells)))
    pooled = tuple(
        Cell(claim=a.id, answer=a.answer, text=SAID[a.answer], says=a.says, evidence=a.id)
        for a in answers()
    )
    return Matrix(claims=tuple(CLAIMS), lines=(*lines, Line(task=POOLED, field="", cells=pooled)))


def run_list(task: str, count: int) -> RunList:
    """`count` runs of `task`."""
    rows = tuple(
        Row(
            cells=(
                f"{task}-{i:04d}",
                ("no clipping", "MaxNorm(max_norm=0.25)", "Adaptive()")[i % 3],
                str(i % 5),
                f"{8 * 2 ** (i % 4)}",
                ("finished", "diverged at step 212")[i % 7 == 3],
                f"{2.4 + (i % 11) / 50:.2f}",
                f"{1 + (i % 13) / 10:.1f}",
            )
        )
        for i in range(count)
    )
    columns = ("Run", "Arm", "Seed", "Rate", "Outcome", "Bits per character", "Seconds")
    return RunList(id=task, table=Table(title=f"Runs of {task}", columns=columns, rows=rows))


def many_tasks(runs: int = 12) -> Comparison:
    """Twelve tasks by nine claims; `runs` of each task are listed."""
    ran = [name for name in TASKS if name != "traffic-signs"]
    return replace(
        comparison(),
        summary=(
            Point(
                text="Clipping keeps training stable on 5 of 6 tasks and allows rates 2.8 times as "
                "large (1.9 to 4.1).",
                claims=("C1", "C2", "C4"),
            ),
            Point(
                text="Masking stops attackers who only follow the gradient, and none who adapt: it "
                "does not make a model secure.",
                claims=("M1", "M2"),
            ),
            Point(
                text="The two serve different ends: clip to train, and harden, not hide, to resist "
                "attacks.",
                claims=("C5", "M3"),
            ),
        ),
        answers=answers(),
        figures=(*comparison().figures, replace(loss_by_rate(), id="deep")),
        matrix=matrix(),
        evidence=tuple(run_list(name, runs) for name in ran),
    )


def small() -> Comparison:
    """Two tasks by three claims and every kind of answer: short enough for a file that people read."""
    full = many_tasks(2)
    kept = ("C1", "C3", "M2")
    tasks = ("lstm-text", "traffic-signs", "phishing")

    def of(task: str) -> bool:
        return any(task.endswith(name) for name in tasks)

    found = matrix()
    lines = tuple(
        replace(line, cells=tuple(c for c in line.cells if c.claim in kept))
        for line in found.lines
        if line.task in (*tasks, POOLED)
    )
    chosen = tuple(
        replace(
            a,
            parts=tuple(p for p in a.parts if of(p.id)),
            runs=tuple(r for r in a.runs if r in tasks),
        )
        for a in full.answers
        if a.id in kept
    )
    return replace(
        full,
        answers=chosen,
        figures=full.figures[:1],
        galleries=(),
        matrix=Matrix(claims=kept, lines=lines),
        evidence=tuple(e for e in full.evidence if e.id in tasks),
    )


def thousands(runs: int = 5000, tasks: int = 12, claims: int = 10) -> Comparison:
    """A page as large as they get: `runs` runs with four series of 200 floats each."""
    names = [f"task-{i}" for i in range(tasks)]
    ids = [f"C{i}" for i in range(claims)]
    answers = tuple(
        claim(
            id,
            f"Claim {id}.",
            "supported",
            runs=tuple(names),
            parts=tuple(claim(f"{id}, {n}", f"{n}: claim.", "open", runs=(n,)) for n in names),
        )
        for id in ids
    )
    lines = tuple(
        Line(
            task=name,
            field="field",
            cells=tuple(
                Cell(
                    claim=id,
                    answer="open",
                    text=SAID["open"],
                    says="Says.",
                    evidence=f"{id}, {name}",
                )
                for id in ids
            ),
        )
        for name in names
    )
    share = runs // tasks
    counts = [share + (i < runs - share * tasks) for i in range(tasks)]
    return replace(
        many_tasks(),
        answers=answers,
        matrix=Matrix(claims=tuple(ids), lines=lines),
        evidence=tuple(run_list(name, count) for name, count in zip(names, counts, strict=True)),
        runs=tuple(
            Run(
                task=names[i % tasks],
                arm="MaxNorm(max_norm=0.25)",
                seed=i,
                config={"rate": 8.0, "steps": 200},
                sources={"clip/norm.py": "9f86d081884c7d65"},
                seconds=1.02,
                result={
                    name: [k * (i + j + 1) / 1013 for k in range(200)]
                    for j, name in enumerate(("loss", "norm", "threshold", "rate"))
                },
            )
            for i in range(runs)
        ),
    )
