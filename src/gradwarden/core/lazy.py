"""Public names imported on first use (PEP 562), so that importing a room needs no torch.

A room lists its public names once, as imports under `if TYPE_CHECKING`, where type checkers read
them; `lazy` reads the same lines, so an export is one line.
"""

import ast
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType

Lazy = tuple[list[str], Callable[[str], object], Callable[[], list[str]]]


def lazy(package: str) -> Lazy:
    """`__all__`, `__getattr__` and `__dir__` of `package`, from its `if TYPE_CHECKING` imports."""
    homes = _homes(inspect.getsource(sys.modules[package]))
    twins = {name for name, home in homes.items() if home == f"{package}.{name}"}

    class Room(ModuleType):
        def __setattr__(self, name: str, value: object) -> None:
            # Python binds every submodule in its package: whoever imports the module `attach`
            # would replace the function `attach` that the package exports.
            if not (name in twins and isinstance(value, ModuleType)):
                super().__setattr__(name, value)

    sys.modules[package].__class__ = Room

    def getattr_(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        if home == package:  # a room of ours
            return import_module(f"{package}.{name}")
        found = getattr(import_module(home), name)
        setattr(sys.modules[package], name, found)
        return found

    return sorted(homes), getattr_, lambda: sorted(homes)


def _homes(source: str) -> dict[str, str]:
    """Public name -> module that it is imported from."""
    return {
        alias.asname or alias.name: line.module
        for block in ast.parse(source).body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for line in block.body
        if isinstance(line, ast.ImportFrom) and line.module
        for alias in line.names
    }
