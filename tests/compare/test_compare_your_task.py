"""Skeletons and the examples of docs/your-task.md run as they are, in one process and tiny sizes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from own_tasks import Slope
from typer.testing import CliRunner

from gradwarden.cli.main import app
from gradwarden.cli.named import named
from gradwarden.compare import runs
from gradwarden.compare.comparison import run
from gradwarden.compare.executor import OnResult
from gradwarden.compare.job import Job
from gradwarden.core.comparison import Comparison
from gradwarden.tasks.task import TrainingTask

PAGE = Path(__file__).parents[2] / "docs" / "your-task.md"
BLOCK = re.compile(r'^```python title="(\w+)\.py"\n(.*?)^```$', re.MULTILINE | re.DOTALL)
EXAMPLES = dict(BLOCK.findall(PAGE.read_text(encoding="utf-8")))
TRAINING, SECURITY = {"steps": 40}, {"epochs": 2, "samples": 20}


def here(jobs: Sequence[Job], on_result: OnResult, *_: object) -> None:
    """As the executor does, without its processes; a run costs what was expected."""
    for job in jobs:
        on_result(job, job.expected, job.run())


def compared(task: Any, folder: Path) -> Comparison:
    """The first stage, at a fraction of its size."""
    sizes = TRAINING if TrainingTask in type(task).__mro__ else SECURITY
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "execute", here)
        return run([replace(task, **sizes)], store=folder, minutes=0.01)


def answered(record: Comparison) -> set[str]:
    return {answer.id for answer in record.answers if answer.answer != "not run"}


def check(record: Comparison, training: bool) -> None:
    assert (len(record.summary), len(record.bottom_line)) == (3, 2)
    other, about = ("security", "M2") if training else ("training", "C3")
    (without,) = [answer for answer in record.answers if answer.id == about]
    assert without.says == f"Not run: no {other} task is among these."
    text = "For security: not run." if training else "For stable training: not run."
    assert [point.text for point in record.bottom_line].count(text) == 1
    if training:
        assert len(record.runs) == 16
        assert {"C1", "C2", "C4"} <= answered(record) <= {"C1", "C2", "C3", "C4", "C5"}
    else:
        assert len(record.runs) == 3
        assert {"A1", "H4"} <= answered(record) <= {"A1", "H4", "M1", "M2", "H2"}


@pytest.mark.parametrize("security", [False, True])
def test_the_skeleton_runs_as_it_is(security: bool, tmp_path: Path) -> None:
    file = tmp_path / f"fresh_{security}.py".lower()
    words = ["new-task", str(file), *(["--security"] if security else [])]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert f"gradwarden compare {file}:task" in result.output.replace("\n", "")
    assert len(file.read_text().splitlines()) <= 45
    task: Any = named(f"{file}:task")
    assert task.name == file.stem.replace("_", "-")
    check(compared(task, tmp_path / "runs"), not security)


@pytest.mark.parametrize("name", ["rows", "wines"])
def test_the_examples_of_the_page_run(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.py").write_text(EXAMPLES[name], encoding="utf-8")
    task: Any = named(f"{tmp_path / name}.py:task")
    with torch.random.fork_rng(devices=[]):
        check(compared(task, tmp_path / "runs"), name == "rows")


def test_the_page_has_both_examples() -> None:
    assert set(EXAMPLES) == {"rows", "wines"}


@pytest.mark.parametrize("file", ["my-task.py", "task.txt", "3.py"])
def test_a_file_that_cannot_be_imported(file: str, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["new-task", str(tmp_path / file)])
    assert result.exit_code == 2
    assert "expected a Python file that can be imported" in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("mine")
    result = CliRunner().invoke(app, ["new-task", str(file)])
    assert result.exit_code == 2
    assert "exists and stays as it is" in " ".join(result.stderr.split())
    assert file.read_text() == "mine"


def test_a_pilot_that_cost_more_than_the_rest_lets_more_stages_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """16 runs of 10 s are over a minute on two workers; at 0.1 s each all of them are seconds."""

    def loading(jobs: Sequence[Job], on_result: OnResult, *_: object) -> None:
        for job in jobs:
            on_result(job, 10.0 if len(jobs) == 1 else 0.1, job.run())

    monkeypatch.setattr(runs, "execute", loading)
    notes: list[str] = []
    record = run([Slope()], store=tmp_path, minutes=1.0, seeds=3, on_note=notes.append)
    assert len(record.runs) >= 16 + 8 + 12
    assert notes[0].startswith("1 pilot run first, which tell what the rest costs; then about 1 ")
    assert notes[1] == "slope: four rates, two seeds: 16 runs, about 1.4 minutes."
    assert notes[2].startswith("slope: Adaptive(")
    assert "not run in this budget" not in str(record.tables)
    again = run([Slope()], store=tmp_path, minutes=1.0, seeds=3, resume=True)
    assert [one.config for one in again.runs] == [one.config for one in record.runs]
