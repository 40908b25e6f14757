"""The command `gradwarden compare`, from the first run to the page in a browser."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import tiny_plan
from browser import check_page, needs_chromium
from typer.testing import CliRunner

from gradwarden.cli.main import app
from gradwarden.compare import quick
from gradwarden.core.comparison import Comparison
from gradwarden.core.records import from_json, to_json
from gradwarden.report import html


@pytest.fixture(scope="module", autouse=True)
def _small() -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quick, "jobs", tiny_plan.jobs)
        yield


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison."""
    folder = tmp_path_factory.mktemp("compare") / "report"
    result = CliRunner().invoke(app, ["compare", "--out", str(folder), "--seeds", "2"])
    assert result.exit_code == 0, result.output
    assert "Bottom line" in result.output
    assert "index.html" in result.output
    return folder


def test_the_record_is_whole_and_gives_the_same_page_again(out: Path) -> None:
    text = (out / "results.json").read_text()
    record = from_json(text, Comparison)
    assert to_json(record) == text
    assert html.render(record) == (out / "index.html").read_text()
    assert [answer.id for answer in record.answers] == [
        "C0", "C1", "C2", "C3", "C4", "C5", "A1", "M1", "M2", "H2", "H4", "B1", "B2",
    ]  # fmt: skip
    assert not [answer for answer in record.answers if not answer.says]
    assert len(record.summary) == 3
    assert {run.task for run in record.runs} == {"lstm-text", "digits-cnn"}
    assert record.origin.command == "gradwarden compare --seeds 2"
    assert "compare/training.py" in record.origin.sources
    assert not [name for name in record.origin.sources if name.startswith(("report/", "cli/"))]


@pytest.mark.slow  # pages of the same kind are checked in tests/report
@needs_chromium
def test_the_page_passes_every_check_in_a_browser(out: Path) -> None:
    check_page(out / "index.html", schemes=["dark"])


def test_every_figure_that_an_answer_names_exists(out: Path) -> None:
    record = from_json((out / "results.json").read_text(), Comparison)
    named = {id for answer in record.answers for id in answer.figures}
    # The tiny plan has neither AdamW nor depth.
    assert named - {figure.id for figure in record.figures} <= {"rates-AdamW", "growth-depth"}


def test_arms_are_paired(out: Path) -> None:
    """The same seed starts from the same loss, whatever the arm: same weights, same batch."""
    record = from_json((out / "results.json").read_text(), Comparison)
    first: dict[tuple[str, int], set[float]] = {}
    for run in record.runs:
        if run.result["kind"] == "Trained":
            key = run.result["net"], run.seed
            first.setdefault(key, set()).add(run.result["losses"][0])
    assert {len(losses) for losses in first.values()} == {1}
    assert len({next(iter(losses)) for losses in first.values()}) == len(first)


def test_what_the_attacks_report_is_possible(out: Path) -> None:
    record = from_json((out / "results.json").read_text(), Comparison)
    runs = [run.result for run in record.runs if run.result["kind"] == "Defended"]
    assert [run["purpose"] for run in runs] == ["none", "mask", "mask", "mask", "harden", "both"]
    for run in runs:
        clean = run["clean"]
        for attack in ("noise", "fgsm", "pgd", "adaptive"):
            pairs = zip(clean, run[attack], strict=True)
            assert not [1 for before, after in pairs if (before, after) == ("0", "1")]
        assert sum(run["gradient"].values()) == pytest.approx(1.0)
        assert all(a <= n for a, n in zip(run["adaptive_curve"], run["naive_curve"], strict=True))
    gradient = {run["defence"]: run["gradient"] for run in runs}
    assert gradient["JPEG(quality=50)"]["none"] == 1.0
    assert gradient["BitDepth(bits=3)"]["zero"] == 1.0
    assert gradient[""]["nonzero"] > 0.9


def test_a_second_run_needs_resume_and_then_runs_nothing(out: Path) -> None:
    before = {file: file.read_bytes() for file in out.rglob("*.json")}
    again = CliRunner().invoke(app, ["compare", "--out", str(out), "--seeds", "2"])
    assert again.exit_code == 2
    assert "holds the index.html of another run: --resume goes on" in again.stderr
    assert {file: file.read_bytes() for file in out.rglob("*.json")} == before
    resumed = CliRunner().invoke(app, ["compare", "--out", str(out), "--seeds", "2", "--resume"])
    assert resumed.exit_code == 0
    assert f"{len(before) - 1} finished runs are taken from the store, 0 are to be run" in (
        resumed.stderr
    )
    assert len(list(out.rglob("*.json"))) == len(before)


def test_runs_are_the_same_bits_when_run_again(out: Path) -> None:
    stored = [json.loads(file.read_text()) for file in sorted((out / "runs").glob("*.json"))]
    (job, *_) = [j for j in tiny_plan.jobs(["lstm-text"], [1]) if "SGD 45" in j.arm]
    (same,) = [run for run in stored if (run["arm"], run["seed"]) == (job.arm, 1)]
    import torch

    torch.set_num_threads(1)
    assert json.loads(json.dumps(job.run())) == same["result"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["nosuch"], "unknown task 'nosuch': Choose from breast-cancer, "),
        (["--seeds", "1"], "seeds must be at least 2"),
        (["--resume", "--force"], "give one of them"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    words: list[str], sentence: str, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["compare", "--out", str(tmp_path / "report"), *words])
    assert result.exit_code == 2
    assert sentence in " ".join(result.stderr.split())
    assert not list(tmp_path.iterdir())


def test_no_permission_and_a_full_disk_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    result = CliRunner().invoke(app, ["compare", "--out", str(tmp_path / "file" / "report")])
    assert result.exit_code == 2
    assert "cannot write" in result.stderr

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    result = CliRunner().invoke(app, ["compare", "--out", str(tmp_path / "report")])
    assert result.exit_code == 2
    assert "no space left for" in result.stderr
    assert not list((tmp_path / "report").rglob("*.json"))
