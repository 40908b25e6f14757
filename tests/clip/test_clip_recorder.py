"""The record on disk: complete, readable after a torn line, flushed at exit, bounded in memory."""

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gradwarden import __version__
from gradwarden.clip.attach import Guard, attach
from gradwarden.clip.recorder import read_record
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.core.errors import BadInput, StoreError


def run(path: Path, norms: list[float]) -> Guard:
    w, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([("w", w), ("b", b)], lr=0.1)
    guard = attach(optimizer, MaxNorm(1.0), record=path)
    for norm in norms:
        w.grad, b.grad = torch.full((1,), norm), torch.zeros(1)
        optimizer.step()
    return guard


def test_one_row_a_step(tmp_path: Path) -> None:
    norms = [0.5, 4.0, math.nan, math.inf, 1.0]
    guard = run(tmp_path / "deep" / "r.jsonl", norms)
    guard.detach()
    record = read_record(tmp_path / "deep" / "r.jsonl")
    assert (record.rule, record.parameters) == ("MaxNorm(max_norm=1.0)", ("w", "b"))
    assert record.version == __version__
    assert [r.step for r in record.rows] == [1, 2, 3, 4, 5]
    assert [r.norm for r in record.rows] == pytest.approx(norms, nan_ok=True)
    assert [r.coefficient for r in record.rows] == [1.0, 0.25, 0.0, 0.0, 1.0]
    assert [r.finite for r in record.rows] == [True, True, False, False, True]
    assert [r.culprits for r in record.rows] == [(), (), ("w",), ("w",), ()]


def test_a_nonfinite_step_is_on_disk_at_once_others_within_64(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    guard = run(path, [1.0, math.nan, 1.0])
    assert len(read_record(path).rows) == 2
    guard.detach()
    assert len(read_record(path).rows) == 3
    guard = run(path, [1.0] * 130)
    assert len(read_record(path).rows) == 3 + 128
    guard.detach()


@pytest.mark.parametrize("cut", range(1, 40, 7))
def test_a_torn_line_costs_that_line_only(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    run(path, [1.0, 2.0, 3.0]).detach()
    path.write_bytes(path.read_bytes()[:-cut])
    assert [r.norm for r in read_record(path).rows] == [1.0, 2.0] + [3.0] * (cut == 1)
    run(path, [4.0]).detach()
    assert [r.norm for r in read_record(path).rows] == [1.0, 2.0] + [3.0] * (cut == 1) + [4.0]


def test_the_exit_of_the_process_writes_the_rest(tmp_path: Path) -> None:
    code = f"""
import torch, gradwarden as gw
w = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.SGD([w], lr=0.1)
gw.clip.attach(optimizer, gw.clip.MaxNorm(1.0), record={str(tmp_path / "r.jsonl")!r})
w.grad = torch.ones(1)
optimizer.step()
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=120)
    assert len(read_record(tmp_path / "r.jsonl").rows) == 1


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("hello\n3\n")
    with pytest.raises(BadInput, match="not a record of gradwarden"):
        read_record(tmp_path / "x.jsonl")
    (tmp_path / "x.jsonl").write_text('{"schema": 99}\n')
    with pytest.raises(BadInput, match="expected schema 1, got 99"):
        read_record(tmp_path / "x.jsonl")
    with pytest.raises(StoreError, match="cannot write the record"):
        run(tmp_path / "x.jsonl" / "below", [])
