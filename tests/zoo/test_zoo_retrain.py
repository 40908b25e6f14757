"""Training again gives the same models; the command says so, and says where it does not."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gradwarden import zoo
from gradwarden.cli.main import app
from gradwarden.core.errors import BadInput
from gradwarden.zoo.retrain import Retrained
from gradwarden.zoo.store import WEIGHTS, digest

SMALL = "thyroid-trees"  # trains in a second


def run(*words: str) -> tuple[int, str, str]:
    ended = CliRunner().invoke(app, ["zoo", *words])
    return ended.exit_code, ended.stdout, ended.stderr


def test_the_table_holds_every_entry() -> None:
    code, out, err = run()
    assert (code, err) == (0, "")
    text = "".join(out.split())
    assert all(name in text for name in zoo.names())


def test_a_small_model_trained_again_agrees(tmp_path: Path) -> None:
    code, out, err = run("--train", str(tmp_path), "--only", SMALL)
    assert (code, err) == (0, "")
    assert f"{SMALL}: stored" in out
    assert "all 1 within 2 points" in out
    files = [path.name for path in tmp_path.iterdir()]
    assert files == [f"{zoo.entry(SMALL).net}.safetensors"]


def test_another_accuracy_is_told_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def off(name: str, folder: Path) -> float:
        return 0.9 if folder == WEIGHTS else 0.879

    monkeypatch.setattr(sys.modules["gradwarden.zoo.retrain"], "accuracy", off)
    code, out, err = run("--train", str(tmp_path), "--only", SMALL)
    assert code == 1
    assert "stored 90.0%, again 87.9%, DIFFERS" in out
    assert f"more than 2 points off: {SMALL}" in err


def test_two_points_are_within() -> None:
    assert Retrained("a", 0.90, 0.88, 1.0).agrees
    assert not Retrained("a", 0.90, 0.879, 1.0).agrees


def test_the_stored_weights_are_never_written_over() -> None:
    with pytest.raises(BadInput, match="holds the stored weights"):
        zoo.retrain([SMALL], WEIGHTS, print)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--only", "nope"), "the zoo has no 'nope'"),
        (("--judge", "--train", "x"), "exclude each other"),
    ],
)
def test_bad_input_is_one_sentence(words: tuple[str, ...], says: str) -> None:
    code, out, err = run(*words)
    assert (code, out) == (2, "")
    assert says in err


@pytest.mark.slow
def test_every_model_trained_again_agrees(tmp_path: Path) -> None:
    done = zoo.retrain(zoo.names(), tmp_path, print)
    assert [one.name for one in done if not one.agrees] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", ["phishing-embedded", "digits-zero-backward"])
def test_judging_again_gives_the_same_answers(name: str, tmp_path: Path) -> None:
    before = digest(WEIGHTS / f"{zoo.entry(name).net}.json")
    again = zoo.judge(name, tmp_path)
    assert abs(again.best.value - zoo.answers(name).best.value) <= 0.01
    assert again.masked == zoo.answers(name).masked
    assert digest(WEIGHTS / f"{zoo.entry(name).net}.json") == before
