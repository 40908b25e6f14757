"""A user's folder: a model file, data files, and the command run in it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pytest
from typer.testing import CliRunner

from gradwarden.cli.main import app

MODEL = '''
import os
import time

import numpy as np
import torch
from torch import nn

import gradwarden as gw


class Net(nn.Module):
    """Class 1 where the mean is above one half."""

    def forward(self, x):
        logit = 20.0 * (x.flatten(1).mean(1) - 0.5)
        return torch.stack([-logit, logit], 1)


def honest():
    return Net().eval()


def hidden():
    return nn.Sequential(Hide(), Net()).eval()


class Hide(nn.Module):
    def forward(self, x):
        with torch.no_grad():
            return x.clone()


class Slow(Net):
    def forward(self, x):
        time.sleep(float(os.environ.get("PAUSE", "0")))
        return super().forward(x)


def slow():
    return Slow().eval()


def linear():
    """The same as `Net`, of layers that certificates know."""
    net = nn.Linear(12, 2)
    with torch.no_grad():
        net.weight.copy_(torch.tensor([[-20.0 / 12], [20.0 / 12]]).expand(2, 12))
        net.bias.copy_(torch.tensor([10.0, -10.0]))
    return nn.Sequential(nn.Flatten(), net).eval()


def single():
    """The same with one logit."""
    net = nn.Linear(12, 1)
    with torch.no_grad():
        net.weight.fill_(40.0 / 12)
        net.bias.fill_(-20.0)
    return nn.Sequential(nn.Flatten(), net).eval()


def sigmoid():
    return nn.Sequential(single(), nn.Sigmoid()).eval()


class Estimator:
    """Looks like one of scikit-learn's, and answers as `Net` in steps."""

    classes_ = np.array([0, 1])

    def predict_proba(self, x):
        share = 1 / (1 + np.exp(40.0 * (0.5 - x.mean(1))))
        share = np.round(share * 20) / 20
        return np.stack([1 - share, share], 1)


def estimator():
    return Estimator()


def spam():
    found = Estimator()
    found.classes_ = np.array(["ham", "spam"])
    return found


def threat():
    return gw.Threat(ball=gw.L2(0.25), goal=gw.Evades(source=1))


def training():
    return nn.Linear(7, 2)


def number():
    return 3


def broken():
    raise ZeroDivisionError("no weights\\nat all")


def needs(path):
    return path


def wide():
    return nn.Linear(7, 2).eval()


def data():
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(40) % 2
    return (y[:, None] * 0.2 + 0.4 + 0.02 * torch.randn(40, 12, generator=rng)).clamp(0, 1), y


def numbers():
    return 1, 2, 3


value = 3
'''


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, with `user_model.py` and `data.npz` in it."""
    (tmp_path / "user_model.py").write_text(MODEL)
    (tmp_path / "quits.py").write_text("raise SystemExit(4)\n")
    (tmp_path / "wrong.py").write_text("def f(:\n")
    rng = np.random.default_rng(0)
    y = np.arange(40, dtype=np.int32) % 2
    x = (0.4 + 0.2 * y[:, None] + 0.02 * rng.standard_normal((40, 12))).clip(0, 1)
    np.savez(tmp_path / "data.npz", x=x, y=y)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


class Ended(NamedTuple):
    code: int
    out: str
    err: str


class Run(Protocol):
    def __call__(self, *words: str, before: str = "") -> Ended: ...


@pytest.fixture
def run() -> Run:
    """The command within this process."""

    def run(*words: str, before: str = "") -> Ended:
        assert not before, "code can run before a process of its own only"
        result = CliRunner().invoke(app, list(words), env={"COLUMNS": "120"})
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Ended(result.exit_code, result.stdout, result.stderr)

    return run


@pytest.fixture
def process() -> Run:
    """The command in a process of its own, after the Python code `before`."""
    path = os.pathsep.join(sys.path)

    def process(*words: str, before: str = "") -> Ended:
        ended = subprocess.run(
            [
                sys.executable,
                "-c",
                f"{before}\nfrom gradwarden.cli.main import main; main()",
                *words,
            ],
            env=os.environ | {"PYTHONPATH": path, "COLUMNS": "120"},
            text=True,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return Ended(ended.returncode, ended.stdout, ended.stderr)

    return process
