"""The live view: what it shows of a record, that it follows a growing file, and how it ends."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gradwarden.clip.record import Event, Header, JsonLines, Row, Window

HEADER = Header("0.1", "MaxNorm(max_norm=1.0)", "AdamW", ("w", "b"))
NO_TORCH = "import sys; sys.modules['torch'] = None"


def row(step: int, norm: float, **more: Any) -> Row:
    c = min(1.0, 1.0 / norm)
    return Row(step, norm, 1.0, c, True, norm * c)._replace(**more)


def written(path: Path, *entries: Any) -> Path:
    sink = JsonLines(path)
    for entry in (HEADER, *entries):
        sink(entry)
    sink.close()
    return path


LOST = Row(4, float("nan"), 1.0, 0.0, False, 0.0)
ROWS = [row(1, 0.5, loss=3.0), row(2, 2.0, loss=2.5), row(3, 8.0, loss=2.25), LOST, row(5, 0.25)]


def test_one_view(run: Any, tmp_path: Path) -> None:
    window = Window(1, 5, (0.25, 0.5, 1.0, 2.0, 8.0), 0.4, 0.2, (("w", 0.9), ("b", 0.1)))
    events = [Event(3, "spike", "norm 8 is high"), Event(4, "non-finite", "so it is")]
    path = written(tmp_path / "run.jsonl", *ROWS, window, *events)
    code, out, _ = run("watch", str(path), "--once")
    assert code == 0
    lines = [line.split("  ", 1) for line in out.splitlines()]
    said = {label: rest.strip() for label, *more in lines for rest in more if label}
    assert "AdamW, MaxNorm(max_norm=1.0)" in re.sub(r"\s+", " ", out)
    assert said["step"] == "5"
    assert said["norm"] == "0.25, after clipping 0.25"
    assert said["threshold"] == "1"
    assert said["clipped"].replace("\xa0", " ") == "40 %, skipped 20 %, of the last 5 steps"
    assert said["loss"] == "2.25"
    assert said["dominant"].replace("\xa0", " ") == "w 90 %, b 10 % of the squared norm"
    assert said["events"] == "step 3, spike: norm 8 is high"
    assert "step 4, non-finite: so it is" in out
    bars = [line.strip() for line in out.splitlines() if set(line.strip()) & set("▁█")]
    assert bars == ["▂▅█!▁", "█▃▁"] or bars == ["▂▅█!▁", "█▄▁"]


def test_a_record_without_steps_yet(run: Any, tmp_path: Path) -> None:
    code, out, _ = run("watch", str(written(tmp_path / "r.jsonl")), "--once")
    assert code == 0
    assert "no steps yet" in out


def test_a_level_run_and_values_below_zero(run: Any, tmp_path: Path) -> None:
    rows = [row(i, 1.0, loss=-float(i)) for i in range(1, 4)]
    code, out, _ = run("watch", str(written(tmp_path / "r.jsonl", *rows)), "--once")
    assert code == 0
    assert "▅▅▅" in out
    assert "█▅▁" in out


def test_a_name_cannot_steer_the_terminal(run: Any, tmp_path: Path) -> None:
    event = Event(1, "spike", "\x1b[31m[bold]red[/bold]\x07")
    _, out, _ = run("watch", str(written(tmp_path / "r.jsonl", row(1, 1.0), event)), "--once")
    assert "\x07" not in out
    assert "\x1b[31m" not in out
    assert "[bold]red[/bold]" in out


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("none.jsonl", "cannot read the record"),
        ("other.txt", "is not a record of gradwarden.clip"),
        (".", "cannot read the record"),
    ],
)
def test_bad_input(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.txt").write_text("hello\n")
    code, _, err = run("watch", name)
    assert code == 2
    assert err.startswith("gradwarden: ")
    assert sentence in err


def test_it_needs_no_torch(process: Any, tmp_path: Path) -> None:
    path = written(tmp_path / "run.jsonl", *ROWS)
    ended = process("watch", str(path), "--once", before=NO_TORCH)
    assert ended.code == 0, ended.err


def test_it_follows_a_growing_file_until_interrupted(tmp_path: Path) -> None:
    path = written(tmp_path / "run.jsonl", row(1, 1.0))
    # A shell's background job ignores the interrupt, and hands that on to what it starts.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    running = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{heeds}from gradwarden.cli.main import main; main()",
            *("watch", str(path), "--every", "0.1"),
        ],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "FORCE_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert running.stdout is not None
    os.set_blocking(running.stdout.fileno(), False)
    seen = b""
    try:
        for wanted, entry in ((b"step", row(4321, 2.0)), (b"4,321", None)):
            end = time.monotonic() + 60
            while wanted not in seen and time.monotonic() < end:
                seen += running.stdout.read() or b""
                time.sleep(0.05)
            assert wanted in seen, seen
            if entry is not None:
                written(path, entry)
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    finally:
        running.kill()
        running.wait()
    assert running.returncode == 0
    assert b"interrupted" not in err
