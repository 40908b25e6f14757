"""A file is there whole or not at all, whatever goes wrong on the way."""

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from gradwarden.core.errors import StoreError
from gradwarden.core.files import check_writable, write_atomically


@pytest.mark.parametrize(
    ("data", "expected"), [("grün\n", "grün\n".encode()), (b"\0\xff", b"\0\xff")]
)
def test_writes_text_and_bytes_and_makes_folders(
    tmp_path: Path, data: str | bytes, expected: bytes
) -> None:
    path = tmp_path / "new" / "deep" / "a.txt"
    write_atomically(path, data)
    write_atomically(path, data)
    assert path.read_bytes() == expected
    assert os.listdir(path.parent) == ["a.txt"]


def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        write_atomically(tmp_path / "a.txt", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a.txt").stat().st_mode) == 0o644


FAULTS = [
    (errno.ENOSPC, "no space left for .*a.txt: free some, or choose another folder"),
    (errno.EDQUOT, "no space left for "),
    (errno.EROFS, "no permission to write .*a.txt: choose another folder"),
    (errno.EIO, "cannot write .*a.txt: Input/output error"),
]


@pytest.mark.parametrize(("number", "sentence"), FAULTS)
@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_fault_leaves_the_older_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, number: int, sentence: str
) -> None:
    path = tmp_path / "a.txt"
    path.write_text("older")

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StoreError, match=sentence):
        write_atomically(path, "newer")
    assert path.read_text() == "older"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_interrupt_leaves_the_older_file_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "a.txt").write_text("older")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.txt", "newer")
    assert (tmp_path / "a.txt").read_text() == "older"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is Linux's full disk")
def test_a_disk_that_is_really_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel's own ENOSPC, which comes when the buffer is flushed."""
    from gradwarden.core import files

    full = Path("/dev/full").open("wb")  # noqa: SIM115  # closed by the function under test
    monkeypatch.setattr(files, "open", lambda *_: full, raising=False)
    with pytest.raises(StoreError, match=r"no space left for .*a\.txt"):
        write_atomically(tmp_path / "a.txt", "newer")
    assert os.listdir(tmp_path) == []


@pytest.fixture
def not_root() -> Iterator[None]:
    """Root may write everywhere, so it is nobody for a while."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    yield
    os.seteuid(user)


@pytest.mark.usefixtures("not_root")
def test_a_folder_without_permission() -> None:
    with pytest.raises(StoreError, match=r"no permission to write /a\.txt: choose another folder"):
        write_atomically(Path("/a.txt"), "")


def test_permission_is_asked_for_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda folder, how: folder != tmp_path or not how)
    with pytest.raises(StoreError, match="no permission to write"):
        check_writable(tmp_path / "new" / "a.txt")
    assert os.listdir(tmp_path) == []


def test_what_could_not_be_written_is_known_before(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="it is a folder, give the name of a file"):
        check_writable(tmp_path)
    with pytest.raises(StoreError, match="file is not a folder"):
        check_writable(tmp_path / "file" / "a.txt")
    for path in (tmp_path / "a.txt", tmp_path / "new" / "deep" / "a.txt", Path("relative.txt")):
        check_writable(path)
    assert os.listdir(tmp_path) == ["file"]
