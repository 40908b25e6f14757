"""Data from every kind of file and callable: the same tensors, or one sentence."""

import pickle
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from gradwarden.cli.data import load
from gradwarden.core.errors import BadInput, MissingExtra

X, Y = torch.rand(4, 3), torch.tensor([0, 1, 0, 1])
CALLABLES = """
import torch
x, y = torch.load("d.pt").values()
def pair(): return x, y
def listed(): return [x.numpy(), y.tolist()]
def mapped(): return {"y": y.to(torch.uint8), "x": x.requires_grad_()}
def words(): return ["a", "b"], y
def short(): return x, y[:2]
def lone(): return x
def scalar(): return 3.0, 4
"""


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    torch.save({"x": X, "y": Y}, "d.pt")
    torch.save((X, Y.int()), "pair.pt")
    torch.save({"x": X, "y": Path()}, "code.pt")
    np.savez("d.npz", x=X.numpy(), y=Y.numpy().astype(np.uint8))
    np.savez("other.npz", images=X.numpy(), labels=Y.numpy())
    np.savez("objects.npz", x=np.array([{}, {}]), y=Y.numpy())
    Path("text.npz").write_text("no archive")
    Path("text.pt").write_text("no tensors")
    Path("empty.pt").write_text("")
    Path("pickle.npz").write_bytes(pickle.dumps({"x": 1}))
    Path("load.py").write_text(CALLABLES)
    return tmp_path


NAMES = ["d.pt", "pair.pt", "d.npz", "load.py:pair", "load.py:listed", "load.py:mapped"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.usefixtures("files")
def test_samples_and_labels(name: str) -> None:
    x, y = load(name)
    assert torch.equal(x, X)
    assert torch.equal(y, Y)
    assert y.dtype == torch.int64
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("nosuch.npz", "there is no file nosuch.npz"),
        ("data.csv", "got the data 'data.csv', expected .npz, .pt, .safetensors, file.py:callable"),
        ("other.npz", "other.npz holds images, labels, expected the arrays x and y"),
        ("objects.npz", "cannot read objects.npz as .npz: Object arrays cannot be loaded"),
        ("text.npz", "cannot read text.npz as .npz: "),
        ("pickle.npz", "cannot read pickle.npz as .npz: "),
        ("text.pt", "text.pt"),
        ("empty.pt", "cannot read empty.pt as .pt: "),
        ("code.pt", "code.pt holds more than tensors, which could run code when it is read"),
        ("load.py:words", "x of load.py:words is no tensor or array of numbers"),
        ("load.py:short", "load.py:short gives x of shape (4, 3) and y of shape (2,), expected as"),
        ("load.py:lone", "load.py:lone gives Tensor, expected the pair x, y"),
        ("load.py:scalar", "load.py:scalar gives x of shape () and y of shape ()"),
        ("load.py:nosuch", "load.py has no 'nosuch'"),
    ],
)
@pytest.mark.usefixtures("files")
def test_what_cannot_be_read_is_one_sentence(name: str, sentence: str) -> None:
    with pytest.raises(BadInput) as why:
        load(name)
    assert sentence in str(why.value)
    assert "\n" not in str(why.value)


@pytest.mark.usefixtures("files")
def test_labels_that_are_no_integers_are_left_to_the_threats_check() -> None:
    torch.save({"x": X, "y": Y.float()}, "float.pt")
    assert load("float.pt")[1].dtype == torch.float32


@pytest.mark.usefixtures("files")
def test_safetensors_where_it_is_installed_and_the_hint_where_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("d.safetensors").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'gradwarden\[safetensors\]'"):
        load("d.safetensors")
    fake: Any = types.ModuleType("safetensors.torch")
    fake.load_file = lambda path: {"x": X, "y": Y}
    monkeypatch.setitem(sys.modules, "safetensors", types.ModuleType("safetensors"))
    monkeypatch.setitem(sys.modules, "safetensors.torch", fake)
    assert torch.equal(load("d.safetensors")[0], X)

    def fail(_: Path) -> None:
        raise type("SafetensorError", (Exception,), {})("header too small")

    fake.load_file = fail
    with pytest.raises(BadInput, match=r"cannot read d.safetensors as .*: header too small"):
        load("d.safetensors")
