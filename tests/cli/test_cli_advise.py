"""Advice on the command line."""

import re
from pathlib import Path
from typing import Any

import pytest

from gradwarden.clip.record import Header, JsonLines, Row

NO_TORCH = "import sys; sys.modules['torch'] = None"


def written(path: Path, norms: list[float], optimizer: str = "SGD") -> Path:
    sink = JsonLines(path)
    sink(Header("0.1", "MaxNorm(max_norm=1.0)", optimizer, ("w",)))
    for step, norm in enumerate(norms, 1):
        c = min(1.0, 1.0 / norm)
        sink(Row(step, norm, 1.0, c, True, norm * c))
    sink.close()
    return path


def words(text: str) -> str:
    return re.sub(r"\s+", " ", text)


def test_what_it_says(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("advise", str(written(tmp_path / "r.jsonl", [4.0] * 300)))
    assert code == 0
    said = words(out)
    assert said.startswith("300 steps with SGD and MaxNorm(max_norm=1.0): median norm 4, 100 %")
    assert "role normaliser Clipping sets the length" in said.replace("clipping", "Clipping")
    assert "threshold 1 It stays" in said
    assert "rate 25 % The mean step is 25% as long" in said
    assert "head-room \N{MULTIPLICATION SIGN}1 None that was seen" in said
    assert "event 256 all clipped: each of 256 steps was clipped" in said


def test_no_head_room_from_norms_for_adam(run: Any, tmp_path: Path) -> None:
    _, out, _ = run("advise", str(written(tmp_path / "r.jsonl", [4.0] * 300, "Adam")))
    assert "head-room - Norms do not tell" in words(out)


@pytest.mark.parametrize(
    ("norms", "sentence"),
    [([1.0] * 5, "advice needs 32 steps with a finite gradient, got 5 of 5 steps")],
)
def test_too_short_a_run(run: Any, tmp_path: Path, norms: list[float], sentence: str) -> None:
    path = str(written(tmp_path / "r.jsonl", norms))
    assert run("advise", path) == (2, "", f"gradwarden: {sentence}\n")


def test_no_record(run: Any, tmp_path: Path) -> None:
    code, _, err = run("advise", str(tmp_path / "none"))
    assert code == 2
    assert "cannot read the record" in err


def test_it_needs_no_torch(process: Any, tmp_path: Path) -> None:
    ended = process("advise", str(written(tmp_path / "r", [4.0] * 40)), before=NO_TORCH)
    assert ended.code == 0, ended.err
