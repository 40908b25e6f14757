"""The table of known answers fits on a terminal, and says what it leaves out."""

from __future__ import annotations

from typing import Any

import pytest
from typer.testing import CliRunner

from gradwarden.cli.main import app
from gradwarden.zoo.registry import names


@pytest.mark.parametrize(("width", "attack"), [(80, False), (160, True)])
def test_every_model_is_a_line_of_the_table(width: int, attack: bool) -> None:
    text = CliRunner().invoke(app, ["zoo"], env={"COLUMNS": str(width)}).stdout
    assert all(f" {name} " in text for name in names())
    assert "development half" in text
    assert "held-out half" in text
    assert ("APGD" in text) == attack
    assert ("kind and best attack" in text) != attack
    assert max(map(len, text.splitlines())) <= width


def test_an_unknown_model_is_one_sentence(process: Any) -> None:
    ended = process("zoo", "--only", "nothing")
    assert ended.code == 2
    assert "the zoo has no 'nothing'" in ended.err
