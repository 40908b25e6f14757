"""Writing a file so that it is there whole or not at all."""

from __future__ import annotations

import errno
import os
import secrets
from pathlib import Path

from gradwarden.core.errors import StoreError


def write_atomically(path: Path, data: str | bytes) -> None:
    """Writes beside `path`, syncs, renames. Raises StoreError; an older file then stays as it was.

    The folder is made where it is missing.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            # Opened by name, unlike `tempfile`, so that the user's umask decides who may read it.
            with open(beside, "xb") as file:
                file.write(data.encode() if isinstance(data, str) else data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(beside, path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
    except OSError as why:
        raise StoreError(_sentence(path, why)) from why


def check_writable(path: Path) -> None:
    """Raises StoreError where `path` could not be written, before work is spent; makes nothing."""
    if path.is_dir():
        raise StoreError(f"cannot write {path}: it is a folder, give the name of a file")
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir():
        raise StoreError(f"cannot write {path}: {nearest} is not a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise StoreError(_sentence(path, PermissionError(errno.EACCES, "no permission")))


def _sentence(path: Path, why: OSError) -> str:
    if why.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no space left for {path}: free some, or choose another folder; nothing was lost"
    if why.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"no permission to write {path}: choose another folder"
    return f"cannot write {path}: {why.strerror or why}"
