"""GTSRB's official archive: what is cut out of it, what is read at all, and what is said of others."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gradwarden.core.errors import BadInput
from gradwarden.tasks.image_files import signs
from gradwarden.tasks.sign_archive import photos
from gradwarden.tasks.traffic_signs import TrafficSigns

KINDS, TRACKS, FRAMES = 3, 5, 5
TAKEN = (0, 3)  # of the frames
HEAD = "Filename;Width;Height;Roi.X1;Roi.Y1;Roi.X2;Roi.Y2;ClassId"
Made = Callable[[Path], Path]


def colour(kind: int, track: int, frame: int) -> tuple[int, int, int]:
    return 40 * kind, 40 * track, 40 * frame


def unpacked(folder: Path) -> Path:
    """Signs of one colour each, in white surroundings; sizes differ from kind to kind."""
    top = folder / "GTSRB" / "Final_Training" / "Images"
    for kind in range(KINDS):
        here = top / f"{kind:05d}"
        here.mkdir(parents=True)
        size, sign = (40 + kind, 50), (6, 7, 34 + kind, 45)
        lines = [HEAD]
        for track in range(TRACKS):
            for frame in range(FRAMES):
                name = f"{track:05d}_{frame:05d}.ppm"
                photo = Image.new("RGB", size, "white")
                photo.paste(colour(kind, track, frame), sign)
                photo.save(here / name)
                lines.append(";".join(map(str, (name, *size, *sign, kind))))
        (here / f"GT-{kind:05d}.csv").write_text("\r\n".join(lines) + "\r\n")
    (folder / "GTSRB" / "Readme-Images.txt").write_text("not read")
    return folder / "GTSRB"


def packed(folder: Path) -> Path:
    tree = unpacked(folder)
    with zipfile.ZipFile(folder / "signs.zip", "w") as archive:
        for file in sorted(tree.rglob("*")):
            archive.write(file, file.relative_to(folder))
    return folder / "signs.zip"


def images(folder: Path) -> Path:
    return unpacked(folder) / "Final_Training" / "Images"


each_form = pytest.mark.parametrize("made", [unpacked, packed, images])


@each_form
def test_each_photo_is_its_sign_alone_with_its_kind_and_track(made: Made, tmp_path: Path) -> None:
    x, y, track = photos(made(tmp_path), KINDS)
    assert x.shape == (KINDS * TRACKS * len(TAKEN), 32, 32, 3)
    assert x.dtype == np.uint8
    assert y.tolist() == [k for k in range(KINDS) for _ in range(TRACKS * len(TAKEN))]
    assert track.tolist() == [t for _ in range(KINDS) for t in range(TRACKS) for _ in TAKEN]
    for photo, kind, number, frame in zip(x, y, track, TAKEN * KINDS * TRACKS, strict=True):
        assert (photo == colour(kind, number, frame)).all()  # no white: none of the surroundings


def test_a_photo_is_scaled_bilinearly(tmp_path: Path) -> None:
    tree = unpacked(tmp_path)
    drawn = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    file = tree / "Final_Training" / "Images" / "00000" / "00000_00000.ppm"
    Image.fromarray(drawn).save(file)
    x, _, _ = photos(tree, 1)
    sign = torch.from_numpy(drawn[7:45, 6:34]).permute(2, 0, 1)[None].float()
    want = torch.nn.functional.interpolate(
        sign, (32, 32), mode="bilinear", antialias=True, align_corners=False
    )
    assert (torch.from_numpy(x[0]).permute(2, 0, 1) - want[0]).abs().max() <= 1.5  # of 255


@each_form
def test_only_the_kinds_that_are_asked_for_are_read(made: Made, tmp_path: Path) -> None:
    for photo in (unpacked(tmp_path / "a") / "Final_Training" / "Images" / "00002").iterdir():
        photo.write_bytes(b"")
    place = made(tmp_path)
    assert len(photos(tmp_path / "a", 2).y) == len(photos(place, 2).y) == 2 * TRACKS * len(TAKEN)


def test_photos_of_one_track_stay_together_and_the_task_takes_them(tmp_path: Path) -> None:
    place = packed(tmp_path)
    task = TrafficSigns(path=str(place), kinds=KINDS)
    assert list(task.data) == ["signs.zip"]
    tracks = []
    for name in ("train", "validation", "test"):
        x, y = task.split(name)
        green = (x[:, 1, 16, 16] * 255 / 40).round().long()
        assert torch.equal((x[:, 0, 16, 16] * 255 / 40).round().long(), y)
        tracks.append(set(zip(y.tolist(), green.tolist(), strict=True)))
    assert [len(some) for some in tracks] == [3 * KINDS, KINDS, KINDS]
    assert len(set.union(*tracks)) == KINDS * TRACKS
    assert all(
        len(split.y) == len(TAKEN) * len(some)
        for split, some in zip(signs(place, KINDS), tracks, strict=True)
    )


def test_another_content_of_the_folder_is_another_run(tmp_path: Path) -> None:
    one, two, three = (unpacked(tmp_path / name) for name in "abc")
    (three / "Final_Training" / "Images" / "00000" / "00000_00000.ppm").write_bytes(b"P6")
    digests = [TrafficSigns(path=str(place)).data["GTSRB"] for place in (one, two, three)]
    assert digests[0] == digests[1] != digests[2]


def test_what_is_no_archive_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no signs")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.npz").write_text("no npz")
    for name in ("notes.txt", "empty"):
        with pytest.raises(BadInput, match=f"{name} must be the folder or the zip of GTSRB_Final"):
            TrafficSigns(path=str(tmp_path / name)).held_out()
    with pytest.raises(BadInput, match=r"bad.npz must be an npz file, got one that numpy"):
        TrafficSigns(path=str(tmp_path / "bad.npz")).held_out()
    with pytest.raises(BadInput, match=r"each of 4 kinds, or an npz: it has no 00003/GT-00003.csv"):
        TrafficSigns(path=str(unpacked(tmp_path)), kinds=4).held_out()


def test_a_damaged_archive_is_one_sentence(tmp_path: Path) -> None:
    here = images(tmp_path) / "00000"
    (here / "00001_00003.ppm").write_bytes(b"P6\n4 4\n255\nshort")
    with pytest.raises(BadInput, match=r"cannot read the photo 00000/00001_00003.ppm: "):
        photos(here.parent, 1)
    (here / "00001_00003.ppm").unlink()
    with pytest.raises(BadInput, match=r"cannot read the photo 00000/00001_00003.ppm: "):
        photos(here.parent, 1)
    (here / "GT-00000.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadInput, match=r"GT-00000.csv must have the columns Filename .*got 'a,b'"):
        photos(here.parent, 1)
    (here / "GT-00000.csv").write_text(HEAD + "\n")
    with pytest.raises(BadInput, match=r"GT-00000.csv lists no photo"):
        photos(here.parent, 1)
