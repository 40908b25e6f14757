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
from gradwarden.core.tabular import Tabular
from gradwarden.core.tabular_features import Category, Integer, Real

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
        ("data.csv", "there is no file data.csv"),
        ("data.txt", "got the data 'data.txt', expected .npz, .pt, .safetensors, .csv, file.py:ca"),
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


@pytest.mark.usefixtures("files")
def test_real_safetensors() -> None:
    tensors = pytest.importorskip("safetensors.torch")
    tensors.save_file({"x": X, "y": Y}, "real.safetensors")
    x, y = load("real.safetensors")
    assert torch.equal(x, X)
    assert torch.equal(y, Y)


ROWS = """\
age, id,channel,y,amount
41,a1,app,1,12.5

7,"b,2",web,0,1e3
"""
SCHEMA = Tabular(
    features=(Real("amount", 0, 2000), Category("channel", ("web", "app")), Integer("age", 0, 99))
)


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("rows.csv")
    path.write_text(ROWS, encoding="utf-8-sig")  # as Excel does
    return path


@pytest.mark.usefixtures("table")
def test_a_table_by_its_schema() -> None:
    """Columns in the order of the schema, a category from words; what it does not name is left."""
    x, y = load("rows.csv", schema=SCHEMA)
    assert x.tolist() == [[12.5, 0, 1, 41], [1000, 1, 0, 7]]
    assert y.tolist() == [1, 0]
    assert (x.dtype, y.dtype) == (torch.float64, torch.int64)
    SCHEMA.check(x)


def test_a_table_without_one_is_every_other_column(table: Path) -> None:
    table.write_text("b,fraud,a\n1,0,-2\n3,1,.5\n")
    x, y = load("rows.csv", "fraud")
    assert x.tolist() == [[1, -2], [3, 0.5]]
    assert y.tolist() == [0, 1]


def test_a_category_in_columns_of_its_own(table: Path) -> None:
    table.write_text("channel=app,channel=web,y,age,amount\n1,0,1,41,12.5\n")
    assert load("rows.csv", schema=SCHEMA)[0].tolist() == [[12.5, 0, 1, 41]]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (ROWS, "rows.csv, line 2: 'id' is 'a1', expected a number"),
        ("", "rows.csv needs a line that names the columns and at least one of numbers"),
        ("a,y\n", "rows.csv needs a line that names the columns and at least one of numbers"),
        ("a,b\n1,2\n", "rows.csv has no column 'y': it has a, b"),
        ("y\n2\n", "rows.csv has no column beside the labels 'y'"),
        ("a,y,a\n1,2,3\n", "rows.csv has two columns called 'a'"),
        ("a,y\n1,2\n\n3\n", "rows.csv, line 4 has 1 cells, expected 2 as in the first"),
        ("a,y\n1,0\n2,ham\n", "rows.csv, line 3: the label is 'ham', expected a class as a whole"),
        ("a,y\n1,0\n2,0.5\n", "rows.csv, line 3: the label is '0.5', expected a class as a whole"),
        ("a,y\n1,0\n,1\n", "rows.csv, line 3: 'a' is '', expected a number"),
    ],
    ids=repr,
)
def test_what_a_table_lacks_is_one_sentence_with_its_line(
    table: Path, text: str, sentence: str
) -> None:
    table.write_text(text)
    with pytest.raises(BadInput) as why:
        load("rows.csv")
    assert str(why.value).startswith(sentence)
    assert "\n" not in str(why.value)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("amount,age,y\n1,2,0\n", "rows.csv has no column 'channel=web': it has amount, age, y"),
        ("channel,amount,y\nweb,2,0\n", "rows.csv has no column 'age': it has channel, amount, y"),
        (
            "channel,amount,age,y\nweb,1,2,0\nshop,1,2,0\n",
            "rows.csv, line 3: 'channel' is 'shop', expected one of web, app",
        ),
    ],
    ids=repr,
)
def test_what_a_schema_misses_is_one_sentence(table: Path, text: str, sentence: str) -> None:
    table.write_text(text)
    with pytest.raises(BadInput) as why:
        load("rows.csv", schema=SCHEMA)
    assert str(why.value) == sentence


def test_a_table_that_is_no_text_is_one_sentence(table: Path) -> None:
    table.write_bytes(b"a,y\n\xff\xfe,1\n")
    with pytest.raises(BadInput, match=r"cannot read rows\.csv as \.csv: 'utf-8' codec"):
        load("rows.csv")


@pytest.mark.usefixtures("files")
def test_a_label_is_for_tables_only() -> None:
    with pytest.raises(BadInput, match=r"--label names a column of a \.csv file, got the data"):
        load("d.pt", "y")
