"""`gradwarden audit` on a user's files: the record, the exit codes, and every kind of bad input."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import made_up_audit
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from gradwarden.cli.main import app
from gradwarden.core.examination import Examination
from gradwarden.core.records import from_json

room = import_module("gradwarden.audit.examine")
FILES = ["data.npz", "quits.py", "user_model.py", "wrong.py"]
WORDS = ["--data", "data.npz", "--ball", "linf", "--radius", "1/5"]


def audit(model: str, *words: str) -> list[str]:
    return ["audit", f"user_model.py:{model}", *WORDS, "--budget", "quick", *words]


def files(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if name != "__pycache__")


def test_a_hidden_gradient_is_found_from_the_shell(folder: Path, process: Any) -> None:
    words = audit("hidden", "--out", "new/audit.json", "--fail-on", "masked,overstated")
    code, out, err = process(*words)
    assert code == 1, err
    assert err == ""  # no bar where nobody looks
    assert "MASKED" in out
    assert "Written: new/audit.json" in out
    record = from_json((folder / "new" / "audit.json").read_text(), Examination)
    assert (record.verdict, record.model) == ("masked", "user_model.py:hidden")
    assert record.threat.startswith(
        "Threat(ball=Linf(radius=0.2), box=(0.0, 1.0), goal=Untargeted()"
    )
    assert (record.naive.value, record.adaptive.value) == (1.0, 0.0)
    assert [f.module for f in record.findings] == ["0"]
    assert record.origin.command.endswith("--fail-on masked,overstated")


def test_an_honest_model_passes_and_the_page_is_written(folder: Path, run: Any) -> None:
    words = ["--out", "a.html", "--fail-on", "masked", "--seed", "3", "--samples", "20"]
    code, out, err = run(*audit("honest", *words))
    assert code == 0, err
    assert "CONSISTENT" in out
    assert "quick budget" in " ".join(out.split())
    assert "user_model.py:honest" in (folder / "a.html").read_text()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], 0),
        (["--fail-on", "overstated"], 0),
        (["--fail-on", "overstated, masked"], 1),
        (["--fail-on", "masked", "--out", "new/a.json"], 1),
        (["--out", "a.html"], 0),
    ],
    ids=str,
)
def test_the_exit_code_follows_the_verdict_and_the_record_is_written_first(
    folder: Path, run: Any, monkeypatch: pytest.MonkeyPatch, words: list[str], code: int
) -> None:
    record = made_up_audit.examination()
    assert record.verdict == "masked"
    monkeypatch.setattr(room, "examine", lambda *_, **__: record)
    ended = run(*audit("honest", *words))
    assert (ended.code, ended.err) == (code, "")
    assert "MASKED" in ended.out
    if "new/a.json" in words:
        assert from_json((folder / "new" / "a.json").read_text(), Examination) == record
    elif "a.html" in words:
        assert "masked" in (folder / "a.html").read_text().lower()
    else:
        assert files(folder) == FILES


@pytest.mark.parametrize("command", ["audit", "attack"])
def test_help_is_readable_on_80_columns(command: str) -> None:
    """Nothing is cut off, and no line of the docstring is broken into two."""
    shown = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "80"}).stdout
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    docstring = import_module(f"gradwarden.cli.{command}").__dict__[command].__doc__
    for line in docstring.splitlines():
        assert line.strip() in shown, line
    for option in ("--threat", "--budget", "--resume", "--label"):
        assert f" {option} " in shown


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What reaches `examine`, which then stops."""
    calls: dict[str, Any] = {}

    def fake(model: Any, x: Any, y: Any, threat: Any, **options: Any) -> None:
        options["on_progress"](1, 2)
        calls.update(options, model=model, x=x, y=y, threat=threat)
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "examine", fake)
    return calls


@pytest.mark.usefixtures("folder")
def test_every_option_arrives(run: Any, seen: dict[str, Any]) -> None:
    words = ["--claim", "0.85", "--samples", "7", "--batch-size", "3", "--seed", "5"]
    words += ["--budget", "thorough", "--resume", "kept"]
    assert run(*audit("honest", *words, "--box", "-1,2")).code == 130
    assert (seen["claim"], seen["batch_size"], seen["seed"]) == (0.85, 3, 5)
    assert (seen["budget"], seen["resume"], seen["certified"]) == ("thorough", Path("kept"), None)
    assert (seen["threat"].box, seen["threat"].ball.radius) == ((-1.0, 2.0), 0.2)
    assert seen["ids"] == sorted(set(seen["ids"]))
    assert len(seen["ids"]) == len(seen["x"]) == 7
    with np.load("data.npz") as file:
        rows = torch.from_numpy(file["x"][seen["ids"]]).float()
    assert torch.equal(seen["x"], rows)
    assert seen["y"].dtype == torch.int64


@pytest.mark.usefixtures("folder")
def test_samples_are_drawn_by_seed_not_taken_from_the_front(run: Any, seen: dict[str, Any]) -> None:
    drawn = []
    for seed in ("0", "0", "1"):
        run(*audit("honest", "--samples", "10", "--seed", seed))
        drawn.append(seen["ids"])
    assert drawn[0] == drawn[1] != drawn[2]
    assert drawn[0] != list(range(10))
    run(*audit("honest", "--samples", "4000"))
    assert seen["ids"] == list(range(40))


def test_l2_and_a_package_path(folder: Path, run: Any, seen: dict[str, Any]) -> None:
    (folder / "nets").mkdir()
    (folder / "nets" / "small.py").write_text("from user_model import honest as build\n")
    words = ["--data", "user_model.py:data", "--ball", "l2", "--radius", ".5"]
    assert run("audit", "nets.small:build", *words).code == 130
    assert repr(seen["threat"].ball) == "L2(radius=0.5)"
    assert seen["name"] == "nets.small:build"


def test_a_file_may_import_its_neighbours(folder: Path, run: Any, seen: dict[str, Any]) -> None:
    (folder / "far").mkdir()
    (folder / "far" / "neighbour_layers.py").write_text("from user_model import Net\n")
    (folder / "far" / "net.py").write_text(
        "from neighbour_layers import Net\n\n\ndef build():\n    return Net().eval()\n"
    )
    words = ["--data", "user_model.py:data", "--ball", "l2", "--radius", ".5"]
    run("audit", "user_model.py:honest", *words)
    assert run("audit", "far/net.py:build", *words).code == 130
    assert seen["name"] == "far/net.py:build"


FACTORIES = {
    "nosuch.py:build": "there is no file nosuch.py",
    "no.such.module:build": "importing no.such.module raised ModuleNotFoundError: No module named",
    "user_model.py": "got 'user_model.py', expected file.py:callable or package.module:callable",
    "user_model.py:": "got 'user_model.py:', expected file.py:callable",
    ":honest": "got ':honest', expected file.py:callable",
    "user_model.py:honesty": "user_model.py has no 'honesty'; did you mean 'honest'?",
    "user_model.py:value": "user_model.py:value is a int, expected a callable without arguments",
    "user_model.py:number": "user_model.py:number returned int, expected a torch.nn.Module or an",
    "user_model.py:sigmoid": "user_model.py:sigmoid returns one value in [0, 1] a sample, which may "
    "be a probability or a logit: return gradwarden.attack.FromProbabilities(model) or gradwarden.",
    "user_model.py:spam": "user_model.py:spam returned an estimator for the classes ham, spam, expe",
    "user_model.py:needs": "calling user_model.py:needs raised TypeError: needs() missing 1",
    "user_model.py:broken": "calling user_model.py:broken raised ZeroDivisionError: no weights\n",
    "user_model.py:training": "the model is in train mode",
    "user_model.py:wide": "user_model.py:wide raised RuntimeError on x of shape (1, 12), torch.fl",
    "quits.py:build": "importing quits.py raised SystemExit: 4",
    "wrong.py:build": "importing wrong.py raised SyntaxError: invalid syntax",
}


@pytest.mark.parametrize("model", FACTORIES)
def test_a_model_that_cannot_be_had_is_one_sentence(folder: Path, run: Any, model: str) -> None:
    code, out, err = run("audit", model, *WORDS, "--out", "a.html")
    assert (code, out) == (2, "")
    assert err.startswith(f"gradwarden: {FACTORIES[model]}")
    assert err.count("\n") == 1
    assert not (folder / "a.html").exists()


OPTIONS = [
    (["--radius", "a lot"], "--radius takes a number such as 0.1 or 8/255, got 'a lot'"),
    (["--radius", "1/0"], "--radius takes a number such as 0.1 or 8/255, got '1/0'"),
    (["--radius", "0"], "radius must be a finite number above 0, in units of x, got 0.0"),
    (["--radius", "-8/255"], "radius must be a finite number above 0"),
    (["--radius", "nan"], "radius must be a finite number above 0"),
    (["--threat", "user_model.py:threat"], "--threat says ball, radius and box by itself, got "),
    (["--label", "y"], "--label names a column of a .csv file, got the data 'data.npz'"),
    (["--box", "0"], "--box must be two numbers such as 0,1, got '0'"),
    (["--box", "0,one"], "--box takes a number such as 0.1 or 8/255, got 'one'"),
    (["--box", "1,0"], "box must be (low, high) with low < high, got (1.0, 0.0)"),
    (["--box", "0.5,1"], "x lies in [0.3"),
    (["--claim", "85"], "claim must be an accuracy in [0, 1], got 85.0"),
    (["--fail-on", "masked,bad"], "--fail-on takes words of masked, overstated, inconclusive, "),
    (["--device", "nosuch"], "device 'nosuch' cannot be used on this machine: "),
    (["--device", "meta"], "device 'meta' cannot be used on this machine: "),
    (["--out", "a.pdf"], "--out must end in .html or .json, got 'a.pdf'"),
    (["--out", "data.npz/a.json"], "cannot write data.npz/a.json: "),
    (["--data", "nosuch.npz"], "there is no file nosuch.npz"),
]


@pytest.mark.parametrize(("words", "sentence"), OPTIONS, ids=str)
def test_a_wrong_option_is_one_sentence(
    folder: Path, run: Any, words: list[str], sentence: str
) -> None:
    code, out, err = run(*audit("honest", "--out", "a.html", *words))
    assert (code, out) == (2, "")
    assert err.startswith(f"gradwarden: {sentence}")
    assert err.count("\n") == 1
    assert files(folder) == FILES


@pytest.mark.parametrize(
    "words", [["--samples", "0"], ["--batch-size", "0"], ["--ball", "l3"], ["--budget", "huge"]]
)
@pytest.mark.usefixtures("folder")
def test_typers_own_checks_exit_with_2(run: Any, words: list[str]) -> None:
    assert run(*audit("honest", *words)).code == 2


@pytest.mark.usefixtures("folder")
def test_what_cannot_be_written_is_said_before_the_model_is_even_loaded(run: Any) -> None:
    err = run(*audit("broken", "--out", "data.npz/a.json")).err
    assert err.startswith("gradwarden: cannot write data.npz/a.json: ")
    assert err.endswith("data.npz is not a folder\n")


@pytest.mark.parametrize(
    "why",
    [
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("can't allocate memory: you tried"),
    ],
    ids=["cuda", "cpu"],
)
@pytest.mark.usefixtures("folder")
def test_too_little_memory_is_one_sentence(
    run: Any, monkeypatch: pytest.MonkeyPatch, why: Exception
) -> None:
    def full(*_: object, **__: object) -> None:
        raise why

    monkeypatch.setattr(room, "examine", full)
    code, _, err = run(*audit("honest", "--batch-size", "9"))
    assert code == 2
    assert "cpu has not enough memory for 9 samples in one pass: give a smaller" in err
