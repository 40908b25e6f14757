"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from gradwarden.core.errors import StoreError


def write_atomically(path: Path, data: str | bytes) -> None:
    """Writes beside `path`, syncs, renames. Raises StoreError; an older file then stays as it was.

    The folder is made where it is missing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as why:
        raise StoreError(_sentence(path, why)) from why


def _sentence(path: Path, why: OSError) -> str:
    if why.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for {path}: free some, or choose another folder; nothing was lost"
    if why.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write {path}: choose another folder"
    return f"cannot write {path}: {why.strerror or why}"
