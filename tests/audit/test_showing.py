"""What a witness looks like: pictures, series, and tables of features."""

from __future__ import annotations

import base64
import io
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from gradwarden.audit.showing import MOST, ROWS, Shown, shown
from gradwarden.core.balls.linf import Linf
from gradwarden.core.balls.scaled import Scaled
from gradwarden.core.examination import Witness
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Category, Integer, Real
from gradwarden.core.threat import Threat

THREAT = Threat(ball=Linf(0.1))


def witness(sample: int) -> Witness:
    return Witness(sample=sample, label=1, predicted=2, attack="PGD()", size=0.1)


def pixels(png: str) -> np.ndarray:
    return np.array(Image.open(io.BytesIO(base64.b64decode(png))))


def pair(*shape: int) -> tuple[Tensor, Tensor]:
    x = torch.rand(8, *shape, generator=torch.Generator().manual_seed(0)) * 0.8 + 0.1
    x_adv = x.clone()
    x_adv.flatten(1)[:, 2] += 0.1
    return x, x_adv


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures(channels: int) -> None:
    x, x_adv = pair(channels, 5, 6)
    found = shown([witness(12), witness(10)], x, x_adv, THREAT, ids=range(10, 18))
    (gallery,) = found.galleries
    assert found == Shown(galleries=(gallery,))
    assert gallery.columns == ("original", "adversarial", "difference, 5 times")
    original, adversarial, difference = gallery.rows[0]
    assert original.caption == "sample 12: label 1"
    assert adversarial.caption == "read as 2"
    assert difference.caption == "size 0.1"
    for picture, image in ((original, x[2]), (adversarial, x_adv[2])):
        expected = (image * 255).round().byte().movedim(0, -1).squeeze(-1).numpy()
        assert (pixels(picture.png) == expected).all()
    change = pixels(difference.png)
    assert change.shape[:2] == (5, 6)
    flat = change.reshape(30, -1)
    assert flat[2].max() == 255
    assert (np.delete(flat, 2, 0) == 128).all()


def test_pixels_of_another_box_are_scaled() -> None:
    x, x_adv = pair(1, 5, 6)
    found = shown([witness(0)], x * 20 - 10, x_adv * 20 - 10, Threat(ball=Linf(2), box=(-10, 10)))
    alike = shown([witness(0)], x, x_adv, THREAT)
    a, b = (pixels(each.galleries[0].rows[0][0].png).astype(int) for each in (found, alike))
    assert abs(a - b).max() <= 1
    free = Threat(ball=Linf(2), box=(float("-inf"), float("inf")))
    endless = shown([witness(0)], x * 20 - 10, x_adv * 20 - 10, free)
    assert pixels(endless.galleries[0].rows[0][0].png).max() > 200


def test_few_are_shown() -> None:
    x, x_adv = pair(1, 5, 6)
    found = shown([witness(row) for row in range(8)], x, x_adv, THREAT)
    assert len(found.galleries[0].rows) == MOST
    assert shown([], x, x_adv, THREAT) == Shown()


def test_without_pillow_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    found = shown([witness(0)], *pair(1, 5, 6), THREAT)
    assert found.galleries == ()
    assert "pillow" in found.notes[0]


@pytest.mark.parametrize("last", [True, False], ids=["[C, T]", "[T, C]"])
def test_a_series_shows_the_channel_that_changes_most(last: bool) -> None:
    x = torch.rand(2, 3, 20)
    x_adv = x.clone()
    x_adv[:, 0] += 0.01
    x_adv[:, 1, 4:9] += 0.1
    given = (x, x_adv) if last else (x.mT, x_adv.mT)
    (figure,) = shown([witness(1)], *given, THREAT).figures
    assert figure.id == "witness-1"
    assert figure.title == "Sample 1: label 1, read as 2"
    assert figure.y_title == "channel 1"
    original, adversarial = figure.series
    assert original.dashed
    assert original.y == pytest.approx(x[1, 1].tolist())
    assert adversarial.y == pytest.approx(x_adv[1, 1].tolist())
    assert original.x == tuple(map(float, range(20)))


def test_plain_rows_are_told_by_index() -> None:
    x = torch.zeros(1, 30)
    x_adv = x.clone()
    x_adv[0, 5:25] = torch.linspace(0.1, 2.0, 20)
    (table,) = shown([witness(0)], x, x_adv, THREAT).tables
    assert table.columns == ("Feature", "Original", "Adversarial")
    assert table.rows[0].cells == ("24", "0", "2")
    assert len(table.rows) == ROWS
    assert "8 more" in table.note


def test_features_have_their_names() -> None:
    schema = Tabular(
        features=(
            Real("amount", 0, 1000),
            Category("land", ("NL", "BE", "DE"), width=1.0),
            Integer("age", 0, 10),
            Real("same", 0, 1),
        )
    )
    threat = Threat(ball=Scaled(Linf(1.0), schema.widths), box=schema.box, constraints=schema)
    x = torch.tensor([[310.0, 1, 0, 0, 2, 0.5]])
    x_adv = torch.tensor([[287.5, 0, 0, 1, 5, 0.5]])
    (table,) = shown([witness(0)], x, x_adv, threat).tables
    assert table.title == "Sample 0: label 1, read as 2"
    assert [row.cells for row in table.rows] == [
        ("land", "NL", "DE"),
        ("age", "2", "5"),
        ("amount", "310", "287.5"),
    ]
    assert table.note == ""


def test_other_shapes_are_named() -> None:
    x = torch.rand(2, 2, 5, 6)
    assert "[2, 5, 6]" in shown([witness(0)], x, x + 0.1, THREAT).notes[0]
