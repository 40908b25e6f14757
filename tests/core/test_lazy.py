"""Exports are read from the lines that type checkers read, and imported on first use."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

INIT = """
from typing import TYPE_CHECKING

from gradwarden.core.lazy import lazy

if TYPE_CHECKING:
    from {name} import room as room
    from {name}.parts import Second as Second
    from {name}.parts import first as renamed
    from {name}.twin import twin as twin
__all__, __getattr__, __dir__ = lazy(__name__)
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"lazy_{tmp_path.name}"
    (tmp_path / name / "room").mkdir(parents=True)
    (tmp_path / name / "room" / "__init__.py").write_text("")
    (tmp_path / name / "__init__.py").write_text(INIT.format(name=name))
    (tmp_path / name / "parts.py").write_text("class Second: ...\ndef first(): ...\nrenamed = 1\n")
    (tmp_path / name / "twin.py").write_text("def twin(): ...\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return name


def test_names_come_from_the_type_checking_block(package: str) -> None:
    module = __import__(package)
    assert module.__all__ == dir(module) == ["Second", "renamed", "room", "twin"]


def test_a_name_is_imported_on_first_use_and_kept(package: str) -> None:
    module = __import__(package)
    assert f"{package}.parts" not in sys.modules
    assert module.Second is sys.modules[f"{package}.parts"].Second
    assert vars(module)["Second"] is module.Second
    assert module.room is sys.modules[f"{package}.room"]


@pytest.mark.parametrize("used_before", [False, True])
def test_a_function_is_not_replaced_by_the_module_of_its_name(
    package: str, used_before: bool
) -> None:
    module = __import__(package)
    if used_before:
        assert module.twin.__name__ == "twin"
    inner = import_module(f"{package}.twin")
    assert module.twin is inner.twin
    assert inner is sys.modules[f"{package}.twin"]


def test_our_own_functions_survive_the_import_of_their_modules() -> None:
    import gradwarden

    for room, name in (("clip", "attach"), ("audit", "examine")):
        import_module(f"gradwarden.{room}.{name}")
        package = getattr(gradwarden, room)
        assert name not in package.__all__ or not isinstance(getattr(package, name), ModuleType)


def test_an_unknown_name_is_an_attribute_error(package: str) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'third'"):
        _ = __import__(package).third
