"""Python objects named on the command line: `file.py:callable` or `package.module:callable`."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from gradwarden.core.errors import BadInput


def named(text: str) -> object:
    """The object that `text` names, or what it returns where it is a function or a class."""
    found = _find(text)
    return _called(text, found) if inspect.isroutine(found) or inspect.isclass(found) else found


def made(text: str) -> object:
    """What the callable that `text` names returns. Raises BadInput, saying what went wrong."""
    found = _find(text)
    if not callable(found):
        raise BadInput(f"{text} is a {type(found).__name__}, expected a callable without arguments")
    return _called(text, found)


def _called(text: str, found: Callable[[], object]) -> object:
    try:
        return found()
    except (Exception, SystemExit) as why:
        raise BadInput(f"calling {text} raised {_short(why)}") from why


def _find(text: str) -> object:
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise BadInput(f"got {text!r}, expected file.py:callable or package.module:callable")
    module = _from_file(place) if place.endswith(".py") else _from_path(place)
    try:
        return getattr(module, name)
    except AttributeError:
        public = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        near = difflib.get_close_matches(name, public, n=1) or public[-1:]
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise BadInput(f"{place} has no {name!r}{hint}") from None


def _from_file(place: str) -> ModuleType:
    path = Path(place).resolve()
    if not path.is_file():
        raise BadInput(f"there is no file {place}")
    # As `python file.py` does, so that the file may import its neighbours.
    _search_first(str(path.parent))
    for name in (path.stem, f"gradwarden_user_{path.stem}"):
        known = sys.modules.get(name)
        if known is None:
            break
        if getattr(known, "__file__", None) == str(path):
            return known  # model, data and threat often share a file, which may be slow to run
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None  # the name ends in .py
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look the module up by its name
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as why:
        del sys.modules[name]
        raise BadInput(f"importing {place} raised {_short(why)}") from why
    return module


def _from_path(place: str) -> ModuleType:
    _search_first(str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except (Exception, SystemExit) as why:
        raise BadInput(f"importing {place} raised {_short(why)}") from why


def _search_first(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _short(why: BaseException) -> str:
    """Its type and the first line of what it says."""
    lines = str(why).strip().splitlines()
    return f"{type(why).__name__}: {lines[0]}" if lines else type(why).__name__
