"""`gradwarden audit` on other threats and models, with certificates, stopped and gone on with."""

import os
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import torch

from gradwarden.core.examination import Examination
from gradwarden.core.goal import Evades
from gradwarden.core.ledger_record import Ledger
from gradwarden.core.records import from_json
from gradwarden.harden.interval_bounds import IntervalBounds

room = import_module("gradwarden.audit.examine")
BALL = ["--ball", "linf", "--radius", "0.05"]
QUICK = ["--data", "data.npz", "--budget", "quick", "--samples", "10"]


def audit(model: str, *words: str) -> list[str]:
    return ["audit", f"user_model.py:{model}", *QUICK, *words]


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What reaches `examine`, which then stops."""
    calls: dict[str, Any] = {}

    def fake(model: Any, x: Any, y: Any, threat: Any, **options: Any) -> None:
        calls.update(options, model=model, x=x, y=y, threat=threat)
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "examine", fake)
    return calls


@pytest.mark.usefixtures("folder")
def test_a_threat_of_the_users_own(run: Any, seen: dict[str, Any]) -> None:
    assert run(*audit("honest", "--threat", "user_model.py:threat")).code == 130
    assert seen["threat"].goal == Evades(source=1)
    assert repr(seen["threat"].ball) == "L2(radius=0.25)"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "got none of them, expected --ball and --radius, or --threat file.py:callable"),
        (["--ball", "l2"], "got --ball, expected --ball and --radius, or --threat"),
        (["--radius", "1", "--box", "0,1"], "got --radius and --box, expected --ball and --radius"),
        (
            ["--threat", "user_model.py:number"],
            "user_model.py:number returned int, expected a grad",
        ),
        (
            ["--threat", "user_model.py:threat", "--box", "0,1"],
            "--threat says ball, radius and box",
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize("command", ["audit", "attack"])
@pytest.mark.usefixtures("folder")
def test_a_threat_that_is_not_one_is_one_sentence(
    run: Any, command: str, words: list[str], sentence: str
) -> None:
    code, out, err = run(command, "user_model.py:honest", *QUICK, *words)
    assert (code, out) == (2, "")
    assert err.startswith(f"gradwarden: {sentence}")
    assert err.count("\n") == 1


FRAUD = """
import gradwarden as gw

schema = gw.Tabular(features=(gw.Real("fee", 0, 1), gw.Category("by", ("web", "app"))))


def threat():
    return gw.Threat(ball=gw.Linf(0.1), goal=gw.Evades(source=1), constraints=schema)
"""


@pytest.mark.parametrize("command", ["audit", "attack"])
def test_a_table_takes_its_columns_from_the_threat(
    folder: Path, run: Any, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    (folder / "fraud.py").write_text(FRAUD)
    (folder / "rows.csv").write_text("id,by,fraud,fee\na,app,1,0.5\nb,web,0,0.25\n")
    seen: list[Any] = []

    def fake(_: Any, x: Any, y: Any, __: Any, **___: Any) -> None:
        seen.extend([x.tolist(), y.tolist()])
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "examine", fake)
    monkeypatch.setattr(import_module("gradwarden.attack.evaluate"), "evaluate", fake)
    words = ["--data", "rows.csv", "--label", "fraud", "--threat", "fraud.py:threat"]
    code, _, err = run(command, "user_model.py:honest", *words)
    assert code == 130, err
    assert seen == [[[0.5, 0, 1], [0.25, 1, 0]], [1, 0]]


@pytest.mark.usefixtures("seen")
def test_a_file_that_is_named_three_times_runs_once(folder: Path, run: Any) -> None:
    text = "print('runs')\nfrom user_model import data, honest, threat\n"
    (folder / "all_in_one.py").write_text(text)
    words = ["--data", "all_in_one.py:data", "--threat", "all_in_one.py:threat"]
    code, out, _ = run("audit", "all_in_one.py:honest", *words)
    assert (code, out) == (130, "runs\n")


def test_an_estimator_is_a_black_box_and_the_output_says_so(folder: Path, run: Any) -> None:
    words = ["--samples", "4", "--out", "a.json", "--certify"]
    code, out, err = run(*audit("estimator", *BALL, *words))
    assert code == 0, err
    record = from_json((folder / "a.json").read_text(), Examination)
    black, bare = record.notes[:2]
    assert black.startswith("Estimator has no gradient: black box only, by queries to its predict_")
    assert bare.startswith("Not certified, and audited without: PredictProba cannot be traced")
    assert record.certified is None
    assert black[:40] in " ".join(out.split())


def test_scikit_learn_from_the_shell(folder: Path, run: Any) -> None:
    pytest.importorskip("sklearn")
    (folder / "tree.py").write_text(
        "import numpy as np\nfrom sklearn.tree import DecisionTreeClassifier\n\n\n"
        "def fitted():\n    with np.load('data.npz') as file:\n"
        "        return DecisionTreeClassifier().fit(file['x'], file['y'])\n"
    )
    words = ["--data", "data.npz", "--budget", "quick", *BALL, "--out", "a.json"]
    code, out, err = run("attack", "tree.py:fitted", *words)
    assert code == 0, err
    record = from_json((folder / "a.json").read_text(), Ledger)
    assert record.clean_accuracy.value == 1.0
    assert record.notes[0].startswith("DecisionTreeClassifier has no gradient: black box only")
    assert "black box only" in out


@pytest.mark.usefixtures("folder")
def test_a_single_logit_is_that_of_class_1(run: Any, seen: dict[str, Any]) -> None:
    """Certified by the same bounds as the model with two logits, whose margin is the same."""
    found = []
    for model in ("linear", "single"):
        run(*audit(model, *BALL, "--radius", "0.09", "--samples", "40", "--certify"))
        found.append(seen["certified"])
        logits = seen["model"](seen["x"])
        assert torch.equal(logits.argmax(1), seen["y"])
    two, one = found
    assert torch.equal(two, one)
    assert torch.equal(two, (seen["x"].mean(1) - 0.5).abs() > 0.09)
    assert 0 < int(two.sum()) < 40


def test_a_certificate_bounds_the_figure_from_below(folder: Path, run: Any) -> None:
    words = ["--certify", "--claim", "0.5", "--out", "a.json"]
    code, out, err = run(*audit("linear", *BALL, *words))
    assert code == 0, err
    record = from_json((folder / "a.json").read_text(), Examination)
    assert record.certified is not None
    assert record.certified.value <= record.adaptive.value
    assert record.verdict == "certified"
    assert "Certified of 10 samples: 10 by IntervalBounds()" in " ".join(out.split())


@pytest.mark.usefixtures("folder")
def test_dearer_bounds_that_fail_leave_the_cheap_ones(
    run: Any, seen: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradwarden.cli import certificates
    from gradwarden.core.errors import BadInput

    class Fails:
        def certify(self, *_: object, **__: object) -> None:
            raise BadInput("no lines for it")

    monkeypatch.setattr(certificates, "KINDS", (IntervalBounds(), Fails()))
    run(*audit("linear", *BALL, "--radius", "0.09", "--samples", "40", "--certify"))
    assert 0 < int(seen["certified"].sum()) < 40
    monkeypatch.setattr(certificates, "KINDS", (Fails(), IntervalBounds()))
    run(*audit("linear", *BALL, "--certify"))
    assert seen["certified"] is None


def test_a_bar_on_a_terminal(folder: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(*_: object, on_progress: Any, **__: object) -> None:
        on_progress(1, 4)
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "examine", fake)
    assert run(*audit("honest", *BALL)).err.startswith(
        "\ngradwarden: interrupted; nothing was kept"
    )
    monkeypatch.setenv("FORCE_COLOR", "1")  # what rich takes for a terminal
    err = run(*audit("honest", *BALL)).err
    assert "auditing" in err
    assert "25 %" in err
    assert "at most" in err


def test_an_interrupted_audit_goes_on_where_it_stopped(folder: Path, run: Any) -> None:
    words = audit("slow", *BALL, "--resume", "kept folder", "--seed", "2")
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from gradwarden.cli.main import main; main()"
    )
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PAUSE": "0.05"}
    started = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    first = folder / "kept folder" / "naive" / "attack-01-batch-00000.pt"
    end = time.monotonic() + 100
    while not first.exists() and started.poll() is None and time.monotonic() < end:
        time.sleep(0.05)
    started.send_signal(signal.SIGINT)
    out, err = started.communicate(timeout=60)
    assert (started.returncode, out) == (130, "")
    hint = "finished searches are kept: the same command, with --resume 'kept folder', goes on"
    assert hint in err
    assert "Traceback" not in err
    kept = first.stat().st_mtime_ns

    assert run(*words, "--out", "resumed.json").code == 0
    assert first.stat().st_mtime_ns == kept
    assert run(*audit("slow", *BALL, "--seed", "2", "--out", "whole.json")).code == 0
    one, two = (
        from_json((folder / name).read_text(), Examination)
        for name in ("resumed.json", "whole.json")
    )
    assert (one.verdict, one.adaptive, one.removed) == (two.verdict, two.adaptive, two.removed)
    assert one.adaptive_ledger.broken == two.adaptive_ledger.broken
