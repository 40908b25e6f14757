"""Photos of traffic signs from GTSRB's official training archive, packed or unpacked.

It has a folder a kind, 00000 to 00042, with photos TRACK_FRAME.ppm and a table GT-KIND.csv that says
where the sign is in each.

Source: Stallkamp et al. 2012; https://benchmark.ini.rub.de, GTSRB_Final_Training_Images.zip.
Differs: of a track, 30 photos from one drive past the sign, every third is taken; its neighbours
hardly differ, and reading all takes three times as long.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradwarden.core.errors import BadInput, MissingExtra

TABLE = re.compile(r"(?:^|/)(\d{5})/GT-\1\.csv$")
CORNERS = ("Roi.X1", "Roi.Y1", "Roi.X2", "Roi.Y2")
SIDE, EVERY = 32, 3


class Photos(NamedTuple):
    x: np.ndarray  # [N, 32, 32, 3] bytes
    y: np.ndarray  # [N] kinds
    track: np.ndarray  # [N] numbered within their kind


class _Line(NamedTuple):
    file: str
    kind: int
    track: int
    sign: tuple[int, int, int, int]  # left, top, right, bottom; the last two lie outside


Read = Callable[[str], bytes]


def photos(place: Path, classes: int) -> Photos:
    """Signs of the first `classes` kinds, cut out and scaled to 32 x 32; no other is read.

    Raises BadInput where `place` is not the archive, or a part of it is missing or damaged.
    """
    with _opened(place) as (names, read):
        tables = {int(found[1]): name for name in names if (found := TABLE.search(name))}
        missing = [f"{kind:05d}/GT-{kind:05d}.csv" for kind in range(classes) if kind not in tables]
        if missing:
            raise BadInput(
                f"{place} must be the folder or the zip of GTSRB_Final_Training_Images, with a "
                f"folder for each of {classes} kinds, or an npz: it has no {missing[0]}"
            )
        lines = [one for kind in range(classes) for one in _lines(place, tables[kind], kind, read)]
        x = np.stack([_cut(place, line, read) for line in lines])
    y = np.array([line.kind for line in lines], np.int64)
    return Photos(x, y, np.array([line.track for line in lines], np.int64))


@contextmanager
def _opened(place: Path) -> Iterator[tuple[list[str], Read]]:
    """The names of the tables at least, and what reads a file by its name."""
    if place.is_dir():
        names = [file.relative_to(place).as_posix() for file in place.rglob("GT-*.csv")]
        yield names, lambda name: (place / name).read_bytes()
    elif zipfile.is_zipfile(place):
        with zipfile.ZipFile(place) as archive:
            yield archive.namelist(), archive.read
    else:
        yield [], lambda _: b""


def _lines(place: Path, table: str, kind: int, read: Read) -> list[_Line]:
    folder = table.rpartition("/")[0]
    text = read(table).decode("utf-8-sig", "replace")
    found = []
    try:
        for row in csv.DictReader(text.splitlines(), delimiter=";"):
            left, top, right, bottom = (int(row[corner]) for corner in CORNERS)
            track, frame = map(int, row["Filename"].partition(".")[0].split("_"))
            file, sign = f"{folder}/{row['Filename']}".lstrip("/"), (left, top, right, bottom)
            if frame % EVERY == 0:
                found.append(_Line(file, kind, track, sign))
    except (KeyError, TypeError, ValueError, AttributeError) as why:
        raise BadInput(
            f"{place}: {table} must have the columns Filename (TRACK_FRAME.ppm) and "
            f"{', '.join(CORNERS)} between semicolons, got {text.partition(chr(10))[0].strip()!r}"
        ) from why
    if not found:
        raise BadInput(f"{place}: {table} lists no photo")
    return found


def _cut(place: Path, line: _Line, read: Read) -> np.ndarray:
    """[32, 32, 3] bytes"""
    try:
        from PIL import Image
    except ImportError as why:
        raise MissingExtra("pillow", "tasks") from why
    try:
        with Image.open(io.BytesIO(read(line.file))) as photo:
            sign = photo.convert("RGB").crop(line.sign)
            return np.asarray(sign.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as why:
        raise BadInput(f"{place}: cannot read the photo {line.file}: {why}") from why
