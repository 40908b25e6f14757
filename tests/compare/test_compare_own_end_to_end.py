"""`gradwarden compare` on tasks of a user's file, one of ours beside them without its data."""

from __future__ import annotations

from pathlib import Path

import own_tasks
import pytest
from browser import check_page, needs_chromium
from test_compare_your_task import here
from typer.testing import CliRunner

from gradwarden.cli.main import app
from gradwarden.compare import runs
from gradwarden.core.comparison import Comparison
from gradwarden.core.records import from_json

FILE = own_tasks.__file__
LEFT = "seeds 3 to 5 at the rates that matter"
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
    assert "2 tasks: four rates, two seeds and 1 other stage: 19 runs, about " in said
    assert "slope: not run in this budget: Adaptive(" in said
    assert "flags: not run in this budget: LogitRounding(" in said
    assert "taken from the store" not in said


def test_the_page_answers_the_owner(out: Path, record: Comparison) -> None:
    """Plain SGD leaves the well at the largest rate; a plane is attacked as any other."""
    opens = [point.text.split(":")[0:2] for point in record.summary]
    assert [name for name, _ in opens] == ["slope"] * 3 + ["flags"] * 3
    by_claim = {point.claims: point.text for point in record.summary}
    assert "The bound that the pilot run advised is MaxNorm(max_norm=" in record.summary[1].text
    assert by_claim["A1",].startswith("flags: Your model can be attacked: of 4")
    assert "index.html" in {file.name for file in out.iterdir()}


@pytest.mark.slow  # pages of the same kind are checked in tests/report
@needs_chromium
def test_the_page_passes_every_check_in_a_browser(out: Path) -> None:
    check_page(out / "index.html", schemes=["dark"])


def test_what_no_task_has_is_not_run(record: Comparison) -> None:
    said = {answer.id: answer.answer for answer in record.answers}
    assert said["C0"] == "not run"
    assert "not run" not in [said[id] for id in ("C1", "C2", "C4", "A1", "M2", "H2", "H4")]
    assert record.origin.command == " ".join(["gradwarden", *WORDS])
    assert {answer.command for answer in record.answers} == {record.origin.command}


def test_a_task_without_its_data_is_a_row_and_the_rest_goes_on(record: Comparison) -> None:
    (ran,) = record.tables
    rows = {row.cells[0]: row.cells for row in ran.rows}
    assert rows["slope"][2] == "16"
    assert rows["slope"][3].startswith("not run in this budget: Adaptive(")
    assert LEFT in rows["slope"][3]
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
    assert len(before) == 1 + 16 + 3
    result = CliRunner().invoke(app, [*WORDS, "--out", str(out), "--resume"])
    assert result.exit_code == 0, result.output
    assert "18 finished runs are taken from the store, 0 are to be run" in result.stderr
    assert sorted(file.name for file in (out / "runs").glob("*.json")) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lstm-text", "--budget", "3"], "a budget, got 3 minutes, is for tasks that are named"),
        ([f"{FILE}:Slope", "--budget", "0"], "minutes must be above 0, got 0"),
        ([f"{FILE}:FOUND"], "got a Metric, expected an instance of a class that inherits"),
        ([f"{FILE}:Slop"], "did you mean 'Slope'"),
        ([f"{FILE}:Slope", "--between", "JPEG,masking"], "slope is for training, and both"),
        (["--between", "clipping"], "expected two contenders as A,B"),
        (["phishing", "--all"], "every task or named ones, not both"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    words: list[str], sentence: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["compare", *words, "--out", str(tmp_path / "report")])
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_the_matrix_has_a_line_for_each_task(record: Comparison) -> None:
    assert record.matrix is not None
    lines = {line.task: {cell.claim: cell for cell in line.cells} for line in record.matrix.lines}
    assert list(lines) == ["slope", "flags", "card-fraud", "all tasks"]
    assert lines["slope"]["C1"].answer != "not run"
    assert lines["slope"]["M2"].answer == ""
    assert lines["flags"]["M2"].answer != "not run"
    assert lines["card-fraud"]["M2"].says.startswith("not run: needs creditcard.csv")
    late = lines["slope"]["K1"]
    assert (late.answer, late.says.count("Not run in this budget: ")) == ("not run", 1)


def test_every_answer_leads_to_the_runs_that_it_rests_on(record: Comparison) -> None:
    lists = {some.id: some.table for some in record.evidence}
    assert {id: len(table.rows) for id, table in lists.items()} == {"slope": 16, "flags": 3}
    for answer in record.answers:
        wanted = ("slope",) if answer.about == "clipping" else ("flags",)
        assert answer.runs == (wanted if answer.answer != "not run" else ())


@pytest.mark.parametrize(
    ("pair", "task", "claims"),
    [
        ("warm-up,MaxNorm(0.5)", "Slope", {"C1", "C4", "C5"}),
        ("BitDepth(box=(-1.0,1.0)),adversarial-training", "Flags", {"A1", "M2", "S1", "S2"}),
        ("nothing,weight-decay", "Slope", {"C1", "C2", "C4"}),
    ],
)
def test_two_contenders_for_one_purpose(
    pair: str, task: str, claims: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runs, "execute", here)
    words = ["compare", f"{FILE}:{task}", "--between", pair, "--budget", "0.001"]
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "out")])
    assert result.exit_code == 0, result.output
    made = from_json((tmp_path / "out" / "results.json").read_text(), Comparison)
    said = {answer.id: answer.answer for answer in made.answers}
    assert claims <= {id for id, answer in said.items() if answer != "not run"}
    assert (len(made.summary), len(made.contenders), len(made.bottom_line)) == (3, 2, 2)
    assert "--between" in made.origin.command
    assert (tmp_path / "out" / "report.md").read_text().startswith("# ")
