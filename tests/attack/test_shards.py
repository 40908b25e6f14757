"""Two processes end with what one process alone finds, and none waits for one that failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from gradwarden.attack.shards import Team, check_alike, team
from gradwarden.core.errors import BadInput

CODE = """
import atexit
import sys
import torch
import torch.distributed as dist
from dataclasses import replace
from torch import nn
from gradwarden.attack.evaluate import evaluate
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.threat import Threat

torch.set_num_threads(1)
where, rank, case = sys.argv[1], int(sys.argv[2]), sys.argv[3]
dist.init_process_group("gloo", init_method=f"file://{where}/{case}", rank=rank, world_size=2)
atexit.register(dist.destroy_process_group)  # or gloo's threads may still run at exit, which aborts
torch.manual_seed(0)
net = nn.Sequential(nn.Linear(20, 32), nn.Tanh(), nn.Linear(32, 5)).eval()
x = torch.rand(60, 20)
y = net(x).argmax(1)
threat = Threat(ball=Linf(0.1))


class Noisy(nn.Module):
    def forward(self, x):
        return net(x) + 0.2 * torch.randn(len(x), 5, dtype=x.dtype)


class Breaks(nn.Module):
    calls = 0

    def forward(self, x):
        Breaks.calls += 1
        if rank == 1 and Breaks.calls > 20:
            raise ZeroDivisionError("a cosmic ray")
        return net(x)


def timeless(ledger):
    stages = tuple(replace(stage, seconds=0.0) for stage in ledger.stages)
    origin = None
    return replace(ledger, seconds=0.0, stages=stages, origin=origin)


attacks = [FGSM(), PGD(steps=6, restarts=2)]
if case == "differ":
    evaluate(net, x + 0.001 * rank, y, Threat(ball=Linf(0.1), box=(0, 2)), attacks)
elif case == "fail":
    evaluate(Breaks().eval(), x, y, threat, attacks, batch_size=7, stochastic=False)
else:
    options = dict(seed=3, batch_size=7)
    for model in (net, Noisy().eval()):
        told = []
        shared = options | {"on_progress": lambda *at: told.append(at)}
        together = evaluate(model, x, y, threat, attacks, **shared)
        alone = evaluate(model, x, y, threat, attacks, sharded=False, **options)
        assert timeless(together) == timeless(alone), (together, alone)
        assert told[-1][0] == told[-1][1]
        assert 0 < together.accuracy.value < 1
    whole, x_whole = run_cascade(net, x, y, threat, attacks, resume=f"{where}/kept", **options)
    PGD.run = FGSM.run = None  # from here on all is read
    again, x_again = run_cascade(net, x, y, threat, attacks, resume=f"{where}/kept", **options)
    assert timeless(whole) == timeless(again)
    assert torch.equal(x_whole, x_again)
print("done", rank)
"""


def pair(folder: Path, case: str) -> list[subprocess.CompletedProcess[str]]:
    """Both processes, ended after two minutes at most."""
    script = folder / "shard.py"
    script.write_text(CODE)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "GLOO_SOCKET_IFNAME": "lo"}
    processes = [
        subprocess.Popen(
            [sys.executable, str(script), str(folder), str(rank), case],
            env=env | {"OMP_NUM_THREADS": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    ended = []
    try:
        for process in processes:
            out, err = process.communicate(timeout=120)
            ended.append(subprocess.CompletedProcess(process.args, process.returncode, out, err))
    finally:
        for process in processes:
            process.kill()
    return ended


def test_two_processes_are_bit_equal_to_one(tmp_path: Path) -> None:
    """Drawing models too; and what they kept together is read together."""
    for ended in pair(tmp_path, "equal"):
        assert ended.returncode == 0, ended.stderr
        assert "done" in ended.stdout


def test_a_failure_of_one_ends_the_other_with_a_sentence(tmp_path: Path) -> None:
    zero, one = pair(tmp_path, "fail")
    assert "ZeroDivisionError: a cosmic ray" in one.stderr
    assert "process 1 failed with ZeroDivisionError: a cosmic ray" in zero.stderr
    assert zero.returncode == one.returncode == 1


def test_processes_with_other_data_are_told(tmp_path: Path) -> None:
    for ended in pair(tmp_path, "differ"):
        assert "processes 0 and 1 differ in x: give every process the same" in ended.stderr


def test_one_process_alone_needs_no_group() -> None:
    assert team(None) == team(False) == Team(0, 1)
    with pytest.raises(BadInput, match=r"needs torch\.distributed"):
        team(True)
    assert Team().each(lambda: 3) == [3]
    with pytest.raises(ZeroDivisionError):
        Team().each(lambda: 1 // 0)


def test_batches_are_dealt_in_turn() -> None:
    hands = [[n for n in range(7) if Team(rank, 3).mine(n)] for rank in range(3)]
    assert hands == [[0, 3, 6], [1, 4], [2, 5]]


def test_only_what_shapes_the_results_must_be_alike() -> None:
    one = {"x": "1", "clean logits": "2"}
    check_alike([one, one | {"clean logits": "3"}])
    with pytest.raises(BadInput, match="processes 0 and 2 differ in x"):
        check_alike([one, one, one | {"x": "4"}])
    assert not torch.distributed.is_initialized()
