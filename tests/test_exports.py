"""`__all__` of the package and of each room is what is importable, and import needs no torch."""

import os
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest

import gradwarden

ROOMS = ["clip", "attack", "mask", "harden", "audit", "tasks", "compare", "report"]
PACKAGES = ["gradwarden", *(f"gradwarden.{room}" for room in ROOMS)]


@pytest.mark.parametrize("name", PACKAGES)
def test_all_is_what_is_importable(name: str) -> None:
    package = import_module(name)
    assert package.__all__ == sorted(package.__all__)
    assert dir(package) == package.__all__
    for public in package.__all__:
        found = getattr(package, public)
        leaf = found.__name__.rpartition(".")[2] if hasattr(found, "__name__") else public
        assert leaf == public
        assert isinstance(found, ModuleType) or found.__module__.startswith("gradwarden.")


@pytest.mark.parametrize("name", PACKAGES)
def test_an_unknown_name_is_an_attribute_error(name: str) -> None:
    with pytest.raises(AttributeError, match="nosuch"):
        getattr(import_module(name), "nosuch")  # noqa: B009


def test_rooms_and_records_import_without_torch() -> None:
    names = [*PACKAGES, "gradwarden.core.records", "gradwarden.report.html", "gradwarden.cli.main"]
    code = "import sys; sys.modules['torch'] = None; import " + ", ".join(names)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=60)


def test_version_is_one_place() -> None:
    assert gradwarden.__version__.count(".") == 2
