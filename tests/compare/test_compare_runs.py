"""Runs from a store that others use too: each is run once, whoever dies, and 5,000 are no trouble."""

from __future__ import annotations

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from made_up_runs import trained
from toy_jobs import Toy

from gradwarden.compare.clock import Ahead, Progress
from gradwarden.compare.locks import Locks
from gradwarden.compare.results import Results, as_result
from gradwarden.compare.runs import Runs
from gradwarden.compare.store import Store

HERE = Path(__file__).parent
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[2])
from pathlib import Path
from toy_jobs import Toy
from gradwarden.compare.runs import Runs
from gradwarden.compare.store import Store

if __name__ == "__main__":
    jobs = [Toy(number=n, seconds=0.2, log=sys.argv[3]) for n in range(24)]
    runs = Runs(Store(Path(sys.argv[1])), None, None)
    print(*(run.result["number"] for run in runs.of(jobs)))
    print(runs.reused)
"""
JOBS = 24


def started(folder: Path) -> subprocess.Popen[str]:
    (folder / "go.py").write_text(SCRIPT)
    words = [sys.executable, folder / "go.py", folder / "runs", HERE, folder / "log"]
    return subprocess.Popen([str(word) for word in words], stdout=subprocess.PIPE, text=True)


def stored(folder: Path) -> int:
    return len(list((folder / "runs").glob("*.json")))


def wait_for(folder: Path, number: int) -> None:
    deadline = time.monotonic() + 120
    while stored(folder) < number and time.monotonic() < deadline:
        time.sleep(0.02)
    assert stored(folder) >= number


def counted(folder: Path) -> Counter[int]:
    """How often each number was run."""
    return Counter(map(int, (folder / "log").read_text().split()))


def test_two_processes_share_the_work_and_do_none_of_it_twice(tmp_path: Path) -> None:
    pair = [started(tmp_path) for _ in range(2)]
    said = [process.communicate(timeout=120)[0].splitlines() for process in pair]
    assert [numbers for numbers, _ in said] == [" ".join(map(str, range(JOBS)))] * 2
    assert sum(int(reused) for _, reused in said) == JOBS
    assert counted(tmp_path) == dict.fromkeys(range(JOBS), 1)
    assert stored(tmp_path) == len(list((tmp_path / "runs").iterdir())) == JOBS  # no lock is left


def test_one_that_is_killed_leaves_its_work_to_the_other(tmp_path: Path) -> None:
    pair = [started(tmp_path) for _ in range(2)]
    wait_for(tmp_path, 6)
    pair[0].send_signal(signal.SIGKILL)
    pair[0].communicate(timeout=60)
    assert stored(tmp_path) < JOBS
    numbers, _ = pair[1].communicate(timeout=120)[0].splitlines()
    assert numbers == " ".join(map(str, range(JOBS)))
    plan = Store(tmp_path / "runs").plan([Toy(number=n) for n in range(JOBS)])
    assert len(plan.done) == stored(tmp_path) == JOBS  # every file is whole
    ran = counted(tmp_path)
    assert set(ran) == set(range(JOBS))
    assert ran.total() <= JOBS + 2  # the two that were under way are run again


def test_a_lock_is_one_owners(tmp_path: Path) -> None:
    one, two = Locks(tmp_path), Locks(tmp_path)
    assert one.take("a")
    assert not one.take("a")
    assert not two.take("a")
    assert two.take("b")
    two.drop("a")  # is not its own
    assert not two.take("a")
    one.drop("a")
    assert two.take("a")
    two.drop_all()
    assert one.take("a")
    assert one.take("b")
    one.drop_all()
    assert list(tmp_path.iterdir()) == []


def test_what_a_dead_process_left_locks_nothing(tmp_path: Path) -> None:
    (tmp_path / ".a.lock").write_text("")
    locks = Locks(tmp_path)
    assert locks.take("a")
    (tmp_path / ".a.lock").unlink()  # as --force does
    assert Locks(tmp_path).take("a")
    locks.drop("a")
    assert (tmp_path / ".a.lock").exists()  # by now the other's


def test_a_lock_that_is_deleted_while_it_is_taken_is_taken_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = fcntl.flock, list[int]()

    def deleted_first(file: int, how: int) -> None:
        if not calls:  # its owner was done between our opening and our locking it
            (tmp_path / ".a.lock").unlink()
        calls.append(file)
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", deleted_first)
    locks = Locks(tmp_path)
    assert locks.take("a")
    assert not Locks(tmp_path).take("a")
    locks.drop_all()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_fails_leaves_no_lock(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="the toy is broken"):
        Runs(Store(tmp_path), None, None).of([Toy(number=0, does="raise")])
    assert list(tmp_path.iterdir()) == []


def test_progress_over_all_waves_and_what_was_at_hand(tmp_path: Path) -> None:
    store, jobs = Store(tmp_path), [Toy(number=n, expected=1.0) for n in range(6)]
    store.write(jobs[0], 3.0, {})
    said: list[Progress] = []
    runs = Runs(store, said.append, None)
    runs.of([*jobs[:2], jobs[1]], [Ahead("toy", "Toy", 4, 4.0)])
    assert (said[0].done, said[0].total) == (1, 6)  # equal ones are one
    assert said[0].seconds_left == pytest.approx(5 * 3.0 / 2)  # by what the stored one cost
    assert said[-1].done == 2
    runs.of([*jobs[:2], *jobs[2:]])
    assert {progress.total for progress in said} == {6}
    done = [progress.done for progress in said]
    assert done == sorted(done)
    assert (said[-1].done, said[-1].seconds_left) == (6, 0.0)
    assert runs.reused == 1
    ended = Runs(store, said.append, None, deadline=time.monotonic())
    ended.of(jobs[:1], [Ahead("toy", "Toy", 4, 4.0)])
    assert (said[-1].total, said[-1].seconds_left) == (5, 0.0)


MANY = 5000


def made_up(seed: int) -> dict[str, Any]:
    draw = random.Random(seed)

    def series() -> tuple[float, ...]:
        return tuple(float(f"{draw.random():.5g}") for _ in range(200))

    return as_result(
        trained(seed=seed, losses=series(), norms=series(), coefficients=series(), steps=200)
    )


def test_five_thousand_runs_are_all_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", lambda _: None)  # the disk is not under test
    store, jobs = Store(tmp_path), [Toy(number=n) for n in range(MANY)]
    for job in jobs[1:]:
        store.write(job, 1.0, made_up(job.number))
    plan = Store(tmp_path).plan(jobs)
    assert (plan.missing, list(plan.done)) == (jobs[:1], jobs[1:])
    found = Runs(store, None, None).of(jobs[1:])
    assert [run.config["number"] for run in found] == list(range(1, MANY))
    for n in (1, 17, MANY - 1):
        assert Results.of([found[n - 1]]).trained == Results.of([plan.done[jobs[n]]]).trained
        assert plan.done[jobs[n]].result == {
            k: list(v) if isinstance(v, tuple) else v for k, v in made_up(n).items()
        }
