"""`gradwarden attack` on a user's files: the table, the record, resuming, and bad input."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gradwarden.core.ledger_record import Ledger
from gradwarden.core.records import from_json

room = import_module("gradwarden.attack.evaluate")
WORDS = ["--data", "data.npz", "--ball", "linf", "--radius", "1/10"]


def attack(model: str, *words: str) -> list[str]:
    return ["attack", f"user_model.py:{model}", *WORDS, *words]


def test_the_table_and_the_record(folder: Path, run: Any) -> None:
    code, out, err = run(*attack("honest", "--budget", "quick", "--out", "new/ledger.json"))
    assert code == 0, err
    for word in ("clean", "under attack", "in float64", "Broken", "Forwards", "upper bound"):
        assert word in out
    record = from_json((folder / "new" / "ledger.json").read_text(), Ledger)
    assert record.model == "user_model.py:honest"
    assert record.threat.startswith("Threat(ball=Linf(radius=0.1)")
    assert record.accuracy.value < record.clean_accuracy.value == 1.0
    assert record.origin is not None
    assert record.origin.command.startswith("gradwarden")
    assert sum(stage.broken for stage in record.stages) == sum(b is not None for b in record.broken)


def test_a_resumed_command_ends_the_same(folder: Path, run: Any) -> None:
    words = attack("honest", "--budget", "quick", "--batch-size", "7", "--resume", "kept")
    for name in ("one.json", "two.json"):
        assert run(*words, "--out", name).code == 0
    one, two = (from_json((folder / n).read_text(), Ledger) for n in ("one.json", "two.json"))
    assert (one.broken, one.lost, one.forwards) == (two.broken, two.lost, two.forwards)
    other = run(*words, "--seed", "1")
    assert other.code == 2
    assert "cannot resume from kept: it holds a cascade with other seed" in other.err


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What reaches `evaluate`, which is then interrupted."""
    calls: dict[str, Any] = {}

    def fake(model: Any, x: Any, y: Any, threat: Any, **options: Any) -> None:
        options["on_progress"](1, 2)
        calls.update(options, model=model, x=x, y=y, threat=threat)
        raise KeyboardInterrupt

    monkeypatch.setattr(room, "evaluate", fake)
    return calls


@pytest.mark.usefixtures("folder")
def test_every_option_arrives(run: Any, seen: dict[str, Any]) -> None:
    words = ["--budget", "thorough", "--samples", "7", "--batch-size", "3", "--seed", "5"]
    ended = run(*attack("honest", *words, "--box", "-1,2", "--resume", "kept"))
    assert ended.code == 130
    assert "finished batches are kept: the same command, with --resume kept" in ended.err
    assert (seen["budget"], seen["batch_size"], seen["seed"]) == ("thorough", 3, 5)
    assert seen["resume"] == Path("kept")
    assert (seen["threat"].box, len(seen["ids"])) == ((-1.0, 2.0), 7)


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("ball", "radius", "says"),
    [("l1", "0.5", "L1(radius=0.5)"), ("l0", "3", "L0(radius=3)"), ("l2", "1/2", "L2(radius=0.5)")],
)
def test_every_ball_has_a_word(
    run: Any, seen: dict[str, Any], ball: str, radius: str, says: str
) -> None:
    words = ["--data", "data.npz", "--ball", ball, "--radius", radius]
    run("attack", "user_model.py:honest", *words)
    assert repr(seen["threat"].ball) == says


BAD = {
    "--budget huge": "Invalid value for '--budget'",
    "--out ledger.html": "--out must end in .json, got 'ledger.html'",
    "--ball l0 --radius 0.5": "--radius of l0 is a whole number of elements, got '0.5'",
    "--threat user_model.py:threat": "--threat says ball, radius and box by itself",
    "--label y": "--label names a column of a .csv file",
    "--box 0": "--box must be two numbers such as 0,1",
    "--device abacus": "device 'abacus' cannot be used on this machine",
}


@pytest.mark.parametrize(("words", "says"), BAD.items(), ids=BAD)
def test_bad_input_is_one_sentence(folder: Path, run: Any, words: str, says: str) -> None:
    code, _, err = run(*attack("honest", *words.split()))
    assert code == 2
    assert says in " ".join(err.split())
    assert sorted(n for n in os.listdir(folder) if n != "__pycache__") == [
        "data.npz",
        "quits.py",
        "user_model.py",
        "wrong.py",
    ]


@pytest.mark.usefixtures("folder")
def test_a_model_that_does_not_fit_is_one_sentence(run: Any) -> None:
    code, _, err = run(*attack("wide"))
    assert code == 2
    assert "user_model.py:wide raised RuntimeError on x of shape (1, 12)" in err
