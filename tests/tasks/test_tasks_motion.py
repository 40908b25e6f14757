"""The motion windows, against the package's own file."""

import numpy as np
import torch

from gradwarden.tasks.motion import REACH, motion
from gradwarden.tasks.packages import folder


def test_shapes_range_and_classes() -> None:
    found = motion()
    assert [len(part.x) for part in found] == [3193, 482, 1002]
    for part in found:
        assert part.x.shape[1:] == (6, 100)
        assert part.x.dtype == torch.float32
        assert part.y.dtype == torch.int64
        assert 0 <= part.x.min() <= part.x.max() <= 1
        assert part.y.unique().tolist() == list(range(7))


def test_every_window_is_a_stretch_of_a_recording_of_its_own_subjects() -> None:
    table = np.load(folder("seglearn") / "data" / "watch_dataset.npy", allow_pickle=True).item()
    heads: dict[bytes, set[tuple[int, int]]] = {}
    for series, label, subject in zip(table["X"], table["y"], table["subject"], strict=True):
        scaled = np.clip(series / (2 * REACH) + 0.5, 0, 1).astype(np.float32)
        for start in range(0, len(scaled) - 99, 50):
            window = np.ascontiguousarray(scaled[start : start + 100].T).tobytes()
            heads.setdefault(window, set()).add((int(subject), int(label)))
    subjects = []
    for part in motion():
        seen = set()
        for x, y in zip(part.x, part.y.tolist(), strict=True):
            ((subject, label),) = heads[x.contiguous().numpy().tobytes()]
            assert label == y
            seen.add(subject)
        subjects.append(seen)
    assert subjects == [set(range(1, 8)), {8}, {9, 10}]
