"""Exports are read from the lines that type checkers read, and imported on first use."""

import sys
from pathlib import Path

import pytest

INIT = """
from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from {name} import room as room
    from {name}.parts import Second as Second
    from {name}.parts import first as renamed
__all__, __getattr__, __dir__ = lazy(__name__)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"lazy_{tmp_path.name}"
    (tmp_path / name / "room").mkdir(parents=True)
    (tmp_path / name / "room" / "__init__.py").write_text("")
    (tmp_path / name / "__init__.py").write_text(INIT.format(name=name))
    (tmp_path / name / "parts.py").write_text("class Second: ...\ndef first(): ...\nrenamed = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_names_come_from_the_type_checking_block(package: str) -> None:
    module = __import__(package)
    assert module.__all__ == dir(module) == ["Second", "renamed", "room"]


def test_a_name_is_imported_on_first_use_and_kept(package: str) -> None:
    module = __import__(package)
    assert f"{package}.parts" not in sys.modules
    assert module.Second is sys.modules[f"{package}.parts"].Second
    assert vars(module)["Second"] is module.Second
    assert module.room is sys.modules[f"{package}.room"]


def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'third'"):
        _ = __import__(package).third
