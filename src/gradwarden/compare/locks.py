"""Which process is at which run: locks on files, which the kernel lifts when their owner dies."""

from __future__ import annotations

import os
from pathlib import Path

from gradwarden.core.errors import StoreError

try:
    import fcntl
except ImportError:  # Windows: a run may be done twice there, and is still written whole
    fcntl = None  # type: ignore[assignment]


class Locks:
    """Files ".NAME.lock" in `folder`; one that is left behind by a dead process locks nothing."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}  # by name, the open file

    def take(self, name: str) -> bool:
        """False where another process has it, or this one already. Raises StoreError.

        On a disk that knows no locks everybody gets it.
        """
        if fcntl is None:
            return True
        if name in self._held:
            return False
        path = self._path(name)
        while True:
            file = self._open(path)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
                return False
            except OSError:
                os.close(file)
                return True
            if _same(file, path):
                self._held[name] = file
                return True
            os.close(file)  # its owner deleted it after we had opened it: there is a newer one

    def drop(self, name: str) -> None:
        """Lets others have it; nothing where it is not ours."""
        file = self._held.pop(name, None)
        if file is not None:
            if _same(file, self._path(name)):
                self._path(name).unlink(missing_ok=True)
            os.close(file)

    def drop_all(self) -> None:
        for name in list(self._held):
            self.drop(name)

    def _path(self, name: str) -> Path:
        return self._folder / f".{name}.lock"

    def _open(self, path: Path) -> int:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_CREAT | os.O_RDWR, 0o666)
        except OSError as why:
            raise StoreError(f"cannot write {path}: {why.strerror or why}") from why


def _same(file: int, path: Path) -> bool:
    """Whether `path` still leads to the open `file`."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False
