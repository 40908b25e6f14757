"""Help, version, completion and exit codes of the command as a whole."""

import time
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from gradwarden import __version__
from gradwarden.cli import main as command
from gradwarden.core.errors import BadInput, GradwardenError, NonFiniteGradient, StoreError

COMMANDS = [
    "compare",
    "audit",
    "attack",
    "watch",
    "advise",
    "replay",
    "new-task",
    "tasks",
    "rules",
    "masks",
    "attacks",
    "zoo",
]
NO_HEAVY = """
import atexit, sys
heavy = ["torch", "scipy", "numpy", "plotly", "jinja2", "pandas"]
sys.modules |= dict.fromkeys(heavy)  # None: cannot be imported
atexit.register(lambda: [n for n in heavy if sys.modules[n] is not None] and print("LOADED"))
"""


@pytest.mark.parametrize("words", [["--help"], ["-h"], *([c, "--help"] for c in COMMANDS)], ids=str)
def test_help_needs_no_torch(process: Any, words: list[str]) -> None:
    start = time.perf_counter()
    ended = process(*words, before=NO_HEAVY)
    print(f"{' '.join(words)}: {time.perf_counter() - start:.2f} s")
    assert ended.code == 0, ended.err
    assert "Usage: " in ended.out
    assert "LOADED" not in ended.out


def test_help_names_every_command_and_shows_examples(run: Any) -> None:
    text = run("--help").out
    assert all(f" {name} " in text for name in COMMANDS)
    assert "gradwarden audit model.py:build --data digits.npz --ball linf --radius 0.1" in text
    assert "Examples:" in run("audit", "--help").out
    assert "Examples:" in run("compare", "--help").out


def test_version(process: Any) -> None:
    assert process("--version", before=NO_HEAVY) == (0, f"gradwarden {__version__}\n", "")


@pytest.mark.parametrize("words", [["nosuch"], ["audit"], ["rules", "--nosuch"]], ids=str)
def test_wrong_usage_exits_with_2(run: Any, words: list[str]) -> None:
    ended = run(*words)
    assert ended.code == 2
    assert "Usage: " in ended.err


def test_shell_completion_is_offered(process: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    # The shell is named instead of guessed: under make it is sh, which has no completion.
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    ended = process("--show-completion", "bash", before=NO_HEAVY)
    assert ended.code == 0, ended.err
    assert "gradwarden" in ended.out.lower()


@pytest.mark.parametrize("error", [BadInput, StoreError, NonFiniteGradient, GradwardenError])
def test_an_error_of_ours_is_one_sentence_and_exit_code_2(
    run: Any, monkeypatch: pytest.MonkeyPatch, error: type[GradwardenError]
) -> None:
    def fail(*_: object) -> None:
        raise error("got 3, expected 4")

    monkeypatch.setattr("gradwarden.cli.catalogue.show", fail)
    assert run("rules") == (2, "", "gradwarden: got 3, expected 4\n")


@pytest.mark.parametrize(
    ("words", "hint"),
    [(["rules"], "nothing was written"), (["compare"], "--resume goes on from them")],
)
def test_an_interrupt_exits_with_130_and_a_hint(
    run: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], hint: str
) -> None:
    monkeypatch.chdir(tmp_path)  # a report of ours may lie in the checkout

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("gradwarden.cli.catalogue.show", interrupt)
    monkeypatch.setattr(import_module("gradwarden.compare.comparison"), "run", interrupt)
    code, _, err = run(*words)
    assert code == 130
    assert hint in err


def test_a_fault_of_our_own_keeps_its_traceback(process: Any) -> None:
    before = "from gradwarden.cli import catalogue\ncatalogue.show = None"
    code, _, err = process("rules", before=before)
    assert code == 1
    assert "Traceback" in err


def test_every_command_has_a_file_of_its_own() -> None:
    registered = [info.callback for info in command.app.registered_commands]
    files = {f.__name__: f.__module__ for f in registered if f is not None}
    names = [name.replace("-", "_") for name in COMMANDS]
    assert files == {name: f"gradwarden.cli.{name}" for name in names}
