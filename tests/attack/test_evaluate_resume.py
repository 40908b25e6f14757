"""An interrupted cascade goes on where it stopped, and ends as if nothing had happened."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.evaluate import evaluate
from gradwarden.attack.fgsm import FGSM
from gradwarden.attack.ledger import run_cascade
from gradwarden.attack.noise import Noise
from gradwarden.attack.pgd import PGD
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput, StoreError
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.protocols import Attack
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))
ATTACKS: list[Attack] = [Noise(draws=2), FGSM(), PGD(steps=6, restarts=2)]


class Net(nn.Module):
    def __init__(self, sigma: float = 0.0, seed: int = 0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.weight = nn.Parameter(torch.randn(20, 5, generator=rng))
        self.sigma = sigma
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(len(x), 5, dtype=x.dtype) * self.sigma if self.sigma else 0.0
        return torch.tanh(x - 0.5) @ self.weight + noise


def data(n: int = 40) -> tuple[Tensor, Tensor]:
    x = torch.rand(n, 20, generator=torch.Generator().manual_seed(1))
    return x, Net()(x).argmax(1)


def cascade(sigma: float = 0.0, **options: Any) -> tuple[Ledger, Tensor]:
    x, y = data()
    given: dict[str, Any] = {"batch_size": 7, "seed": 2, "draws": 5 if sigma else 1} | options
    return run_cascade(Net(sigma), x, y, THREAT, ATTACKS, **given)


def without_time(ledger: Ledger) -> Ledger:
    stages = tuple(replace(stage, seconds=0.0) for stage in ledger.stages)
    return replace(ledger, seconds=0.0, stages=stages)


@pytest.mark.parametrize("sigma", [0.0, 0.3])
@pytest.mark.parametrize("stop", [1, 4, 7, 13])
def test_resumed_is_bit_equal_to_uninterrupted(tmp_path: Path, sigma: float, stop: int) -> None:
    whole, x_whole = cascade(sigma)
    calls = 0

    def interrupt(done: int, total: int) -> None:
        nonlocal calls
        calls += 1
        if calls == stop:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cascade(sigma, resume=tmp_path / "kept", on_progress=interrupt)
    files = {f: f.stat().st_mtime_ns for f in (tmp_path / "kept").glob("*.pt")}
    assert files
    resumed, x_resumed = cascade(sigma, resume=str(tmp_path / "kept"))
    assert without_time(resumed) == without_time(whole)
    assert torch.equal(x_resumed, x_whole)
    assert all(f.stat().st_mtime_ns == at for f, at in files.items())  # nothing was done twice


def test_a_finished_cascade_is_read_without_an_attack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, x_whole = cascade(resume=tmp_path)
    monkeypatch.setattr(PGD, "run", None)
    again, x_again = cascade(resume=tmp_path)
    assert without_time(again) == without_time(whole)
    assert torch.equal(x_again, x_whole)
    assert [s.seconds for s in again.stages] == [s.seconds for s in whole.stages]
    assert again.seconds > sum(stage.seconds for stage in again.stages)


def test_a_damaged_file_is_run_again(tmp_path: Path) -> None:
    whole = cascade(resume=tmp_path)[0]
    first, second, third, *_ = sorted(tmp_path.glob("*.pt"))
    first.write_bytes(b"")
    second.write_bytes(third.read_bytes())  # of other samples
    third.write_bytes(third.read_bytes()[:200])
    assert without_time(cascade(resume=tmp_path)[0]) == without_time(whole)


def _others() -> dict[str, dict[str, Any]]:
    x, y = data()
    return {
        "weights": {"model": Net(seed=1)},
        "x": {"x": x * 0.9},
        "y": {"y": (y + 1) % 5},
        "threat": {"threat": Threat(ball=Linf(0.11))},
        "attacks": {"attacks": [*ATTACKS[:2], PGD(steps=7, restarts=2)]},
        "seed": {"seed": 3},
        "batch size": {"batch_size": 8},
        "ids": {"ids": range(1, 41)},
    }


@pytest.mark.parametrize(("part", "change"), _others().items(), ids=_others())
def test_a_wrong_resume_is_refused(tmp_path: Path, part: str, change: dict[str, Any]) -> None:
    x, y = data()
    given: dict[str, Any] = {"model": Net(), "x": x, "y": y, "threat": THREAT, "attacks": ATTACKS}
    given |= {"batch_size": 7, "seed": 2, "resume": tmp_path}
    run_cascade(**given)
    before = sorted(os.listdir(tmp_path))
    with pytest.raises(BadInput, match=f"holds a cascade with other {part}; give another folder"):
        run_cascade(**given | change)
    assert sorted(os.listdir(tmp_path)) == before


def test_another_forward_pass_is_refused(tmp_path: Path) -> None:
    """Same weights, other code: a callable's weights cannot be seen, but its logits can."""
    x, y = data()
    for gain, code in ((1.0, "fine"), (2.0, "other")):
        model = lambda x, gain=gain: Net()(x) * gain
        if code == "fine":
            run_cascade(model, x, y, THREAT, [FGSM()], resume=tmp_path)
        else:
            with pytest.raises(BadInput, match="other clean logits"):
                run_cascade(model, x, y, THREAT, [FGSM()], resume=tmp_path)


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(BadInput, match="is no folder of a cascade"):
        cascade(resume=tmp_path)
    with pytest.raises((BadInput, StoreError)):
        cascade(resume=tmp_path / "thesis.tex")
    assert os.listdir(tmp_path) == ["thesis.tex"]


def test_evaluate_hands_the_folder_on(tmp_path: Path) -> None:
    x, y = data()
    one, two = (evaluate(Net(), x, y, THREAT, ATTACKS, resume=tmp_path) for _ in range(2))
    assert without_time(one) == without_time(two)
    assert (tmp_path / "cascade.json").is_file()
