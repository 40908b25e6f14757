"""A run is there whole or not at all, counts only for its own configuration and code, and is found
again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from toy_jobs import Toy

from gradwarden.compare.job import fingerprint, settings
from gradwarden.compare.store import Store
from gradwarden.core import provenance
from gradwarden.core.errors import StoreError

HERE = Path(__file__).parent


def test_what_is_written_is_found_and_the_rest_is_missing(tmp_path: Path) -> None:
    store, jobs = Store(tmp_path / "runs"), [Toy(number=n) for n in range(3)]
    assert not store.occupied()
    written = store.write(jobs[1], 1.23456, {"number": 1})
    plan = store.plan(jobs)
    assert plan.done == {jobs[1]: written}
    assert plan.missing == [jobs[0], jobs[2]]
    assert (plan.invalidated, plan.changed) == (0, ())
    assert store.occupied()
    assert written.seconds == 1.235


def test_seed_and_settings_are_part_of_the_key() -> None:
    keys = {
        fingerprint(settings(job))
        for job in (Toy(number=0), Toy(number=1), Toy(number=0, seed=1), Toy(number=0, expected=9))
    }
    assert len(keys) == 3  # the expected cost is no setting


def test_a_changed_source_file_invalidates_and_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, job = Store(tmp_path), Toy(number=0)
    store.write(job, 1.0, {})
    real = provenance._digest
    monkeypatch.setattr(
        provenance, "_digest", lambda p: "changed" if p.name == "files.py" else real(p)
    )
    plan = Store(tmp_path).plan([job])
    assert plan.missing == [job]
    assert (plan.invalidated, plan.changed) == (1, ("core/files.py",))


def test_a_damaged_file_is_run_again(tmp_path: Path) -> None:
    store, job = Store(tmp_path), Toy(number=0)
    store.write(job, 1.0, {})
    (file,) = tmp_path.glob("*.json")
    file.write_text(file.read_text()[:50])
    assert store.plan([job]).missing == [job]


def test_clear_deletes_runs_and_nothing_else(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.write(Toy(number=0), 1.0, {})
    (tmp_path / "mine.txt").write_text("keep")
    store.clear()
    assert [file.name for file in tmp_path.iterdir()] == ["mine.txt"]


def test_a_folder_that_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="cannot write"):
        Store(tmp_path / "runs").check_writable()
    assert not list(tmp_path.glob("runs/*"))


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from toy_jobs import Toy
from gradwarden.compare.executor import execute
from gradwarden.compare.store import Store

if __name__ == "__main__":
    store = Store(Path(sys.argv[1]))
    jobs = [Toy(number=n, does="sleep", seconds=0.2) for n in range(40)]
    execute(jobs, lambda job, seconds, result: store.write(job, seconds, result))
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0]


def test_kill_9_loses_only_the_runs_in_flight(tmp_path: Path) -> None:
    script, runs = tmp_path / "go.py", tmp_path / "runs"
    script.write_text(SCRIPT)
    process = subprocess.Popen([sys.executable, str(script), str(runs), str(HERE)])
    deadline = time.monotonic() + 60
    while len(list(runs.glob("*.json"))) < 6 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(10)
    plan = Store(runs).plan([Toy(number=n) for n in range(40)])
    assert 6 <= len(plan.done) < 40
    assert len(plan.done) == len(list(runs.glob("*.json")))  # every file is whole
    workers = {int(run.result["process"]) for run in plan.done.values()}
    deadline = time.monotonic() + 20
    while any(alive(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(alive(pid) for pid in workers)  # they end with their parent


def test_jobs_of_equal_settings_share_a_run(tmp_path: Path) -> None:
    store, job = Store(tmp_path), Toy(number=0)
    store.write(job, 1.0, {})
    assert store.plan([replace(job, expected=5.0)]).missing == []
