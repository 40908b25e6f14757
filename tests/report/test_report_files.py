"""Writing: the suffix decides, the same record gives the same bytes, nothing is half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from made_up import comparison
from made_up_audit import examination

from gradwarden import report
from gradwarden.core.comparison import Comparison
from gradwarden.core.errors import BadInput, StoreError
from gradwarden.core.examination import Examination
from gradwarden.core.records import from_json


@pytest.mark.parametrize("suffix", [".html", ".json", ".md"])
def test_the_same_record_gives_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    report.write(comparison(), tmp_path / f"a{suffix}")
    report.write(comparison(), str(tmp_path / f"b{suffix}"))
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_json_reads_back_as_the_same_record(tmp_path: Path) -> None:
    for record, kind in ((comparison(), Comparison), (examination(), Examination)):
        report.write(record, tmp_path / "record.json")
        assert repr(from_json((tmp_path / "record.json").read_text(), kind)) == repr(record)


@pytest.mark.parametrize("name", ["page.htm", "page", "page.html.gz", ".html"])
def test_another_suffix_is_bad_input(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInput, match=r"expected one that ends in \.html, \.json or \.md"):
        report.write(comparison(), tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_what_is_no_record_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="got dict, expected a record"):
        report.write({"title": "x"}, tmp_path / "page.html")
    with pytest.raises(BadInput, match="no page for Run"):
        report.write(comparison().runs[0], tmp_path / "page.html")
    with pytest.raises(BadInput, match=r"no Markdown for Run.*\.html or \.json"):
        report.write(comparison().runs[0], tmp_path / "page.md")
    assert not list(tmp_path.iterdir())


def test_a_name_that_is_no_text_is_written_as_an_escape(tmp_path: Path) -> None:
    name = os.fsdecode(b"model-\xff.py:net")
    report.write(replace(examination(), model=name), tmp_path / "audit.json")
    assert json.loads((tmp_path / "audit.json").read_text())["model"] == name
    report.write(replace(examination(), model=name), tmp_path / "audit.html")
    assert r"model-\udcff.py:net" in (tmp_path / "audit.html").read_text()


def test_an_older_page_stays_where_the_new_one_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "index.html"
    page.write_text("older")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="no space left"):
        report.write(comparison(), page)
    assert page.read_text() == "older"
    assert list(tmp_path.iterdir()) == [page]


def test_a_report_is_written_without_torch_or_scipy(tmp_path: Path) -> None:
    """Records are rendered on machines that never train."""
    code = """if True:
        import sys
        sys.modules |= {"torch": None, "scipy": None, "numpy": None}
        from made_up import comparison
        from made_up_audit import bare, examination
        from gradwarden import report
        report.write(comparison(), sys.argv[1] + "/index.html")
        report.write(comparison(), sys.argv[1] + "/index.md")
        report.write(bare(), sys.argv[1] + "/audit.html")
        report.terminal.render(comparison())
        report.terminal.render(examination())
        del sys.modules["scipy"], sys.modules["numpy"]  # intervals of a model that draws
        report.write(examination(), sys.argv[1] + "/audit.html")
        """
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, env=env, timeout=60)
    assert (tmp_path / "index.html").exists()


def test_importing_the_room_loads_no_renderer() -> None:
    heavy = "{'jinja2', 'plotly', 'rich', 'numpy', 'torch'}"
    rooms = "gradwarden.report.html, gradwarden.report.markdown, gradwarden.report.files"
    code = f"import sys, {rooms}; print({heavy} & set(sys.modules))"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True
    )
    assert done.stdout == "set()\n"
