"""`gradwarden compare` on tasks of a user's file, one of ours beside them without its data."""

from __future__ import annotations

from pathlib import Path

import own_tasks
import pytest
from browser import check_page, needs_chromium
from typer.testing import CliRunner

from gradwarden.cli.main import app
from gradwarden.core.comparison import Comparison
from gradwarden.core.records import from_json

FILE = own_tasks.__file__
LEFT = "three rates between and beyond them; the rule Adaptive; seed 3; seed 4; seed 5"
WORDS = ["compare", f"{FILE}:Slope", f"{FILE}:Flags", "card-fraud", "--budget", "0.001"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison, with its notes beside it."""
    folder = tmp_path_factory.mktemp("own") / "report"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GRADWARDEN_DATA", raising=False)
        result = CliRunner().invoke(app, [*WORDS, "--out", str(folder)])
    assert result.exit_code == 0, result.output
    (folder / "notes").write_text(" ".join(result.stderr.split()))
    return folder


@pytest.fixture(scope="module")
def record(out: Path) -> Comparison:
    return from_json((out / "results.json").read_text(), Comparison)


def test_the_cost_is_told_before_the_runs(out: Path) -> None:
    said = (out / "notes").read_text()
    assert said.startswith("2 pilot runs first, which tell what the rest costs; then about 0.001 ")
    assert "slope: 12 runs, about " in said
    assert "Not run in this budget: three rates between and beyond them; the rule Adaptive" in said
    assert "flags: 3 runs, about " in said
    assert "taken from the store" not in said


def test_the_page_answers_the_owner(out: Path, record: Comparison) -> None:
    """Plain SGD leaves the well at the largest rate; a plane is attacked as any other."""
    opens = [point.text.split(":")[0:2] for point in record.summary]
    assert [name for name, _ in opens] == ["slope"] * 3 + ["flags"] * 3
    by_claim = {point.claims: point.text for point in record.summary}
    assert "The bound that the pilot run advised is MaxNorm(max_norm=" in record.summary[1].text
    assert by_claim["A1",].startswith("flags: Your model can be attacked: of 4")
    assert "index.html" in {file.name for file in out.iterdir()}


@needs_chromium
def test_the_page_passes_every_check_in_a_browser(out: Path) -> None:
    check_page(out / "index.html")


def test_what_no_task_has_is_not_run(record: Comparison) -> None:
    said = {answer.id: answer.answer for answer in record.answers}
    assert said["C0"] == "not run"
    assert "not run" not in [said[id] for id in ("C1", "C2", "C4", "A1", "M2", "H2", "H4")]
    assert record.origin.command == " ".join(["gradwarden", *WORDS])
    assert {answer.command for answer in record.answers} == {record.origin.command}


def test_a_task_without_its_data_is_a_row_and_the_rest_goes_on(record: Comparison) -> None:
    (ran,) = record.tables
    rows = {row.cells[0]: row.cells for row in ran.rows}
    assert rows["slope"][2:] == (
        "12",
        f"not run in this budget: {LEFT}",
    )
    assert rows["card-fraud"][1:3] == ("fraud", "0")
    assert rows["card-fraud"][3].startswith("not run: needs creditcard.csv or ")
    assert [note for note in record.notes if note.startswith("card-fraud: not run: needs")]
    assert [note for note in record.notes if "recall" in note and "attacked" in note]


def test_figures_have_the_names_that_the_answers_call_them_by(record: Comparison) -> None:
    named = {id for answer in record.answers for id in answer.figures}
    made = {figure.id for figure in record.figures}
    assert {"slope-rates-SGD", "slope-explosion", "slope-curves", "flags-radius"} == made
    assert named - made <= {"slope-rates-AdamW"}


def test_again_with_resume_runs_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GRADWARDEN_DATA", raising=False)
    before = sorted(file.name for file in (out / "runs").glob("*.json"))
    assert len(before) == 1 + 12 + 3
    result = CliRunner().invoke(app, [*WORDS, "--out", str(out), "--resume"])
    assert result.exit_code == 0, result.output
    assert "14 finished runs are taken from the store, 0 are to be run" in result.stderr
    assert sorted(file.name for file in (out / "runs").glob("*.json")) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lstm-text", "--budget", "3"], "a budget, got 3 minutes, is for tasks that are named"),
        ([f"{FILE}:Slope", "--budget", "0"], "minutes must be above 0, got 0"),
        ([f"{FILE}:FOUND"], "got a Metric, expected an instance of a class that inherits"),
        ([f"{FILE}:Slop"], "did you mean 'Slope'"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    words: list[str], sentence: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["compare", *words, "--out", str(tmp_path / "report")])
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())
