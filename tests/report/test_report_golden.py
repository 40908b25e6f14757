"""A committed record gives the committed bytes: twice, and in another process with another hash seed.

Where a change of the forms is meant, `python tests/report/golden.py` writes the files again.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from typing import Any

import golden
import pytest

from gradwarden.core.records import to_json
from gradwarden.report import html


@pytest.mark.parametrize("name", golden.forms(golden.record()))
def test_the_committed_record_gives_the_committed_bytes_twice(name: str) -> None:
    kept = (golden.FOLDER / name).read_bytes().decode()
    for _ in range(2):
        assert golden.forms(golden.record())[name] == kept


def test_another_process_with_another_hash_seed_gives_the_same_bytes() -> None:
    code = """if True:
        import golden, hashlib
        from gradwarden.report import html
        forms = golden.forms(golden.record()) | {"whole": html.render(golden.record())}
        print({k: hashlib.sha256(v.encode()).hexdigest() for k, v in forms.items()})
        """
    forms = golden.forms(golden.record()) | {"whole": html.render(golden.record())}
    here = {k: hashlib.sha256(v.encode()).hexdigest() for k, v in forms.items()}
    for seed in ("1", "2"):
        env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", code], check=True, env=env, capture_output=True, text=True
        )
        assert done.stdout == f"{here}\n"


def test_every_field_of_the_committed_record_is_kept_when_it_is_written_again() -> None:
    """Later versions may add fields; none may change or vanish."""
    kept = json.loads(golden.RECORD.read_text(encoding="utf-8"))
    assert kept["matrix"]
    assert kept["evidence"]
    assert_holds(json.loads(to_json(golden.record())), kept)


def assert_holds(found: Any, kept: Any) -> None:
    if isinstance(kept, dict):
        for key, value in kept.items():
            assert_holds(found[key], value)
    elif isinstance(kept, list):
        for one, other in zip(found, kept, strict=True):
            assert_holds(one, other)
    else:
        assert found == kept


def test_the_page_without_its_assets_still_has_its_text() -> None:
    page = golden.forms(golden.record())["comparison.html"]
    assert "<style" not in page
    assert "plotly.js" not in page
    assert "Clipping keeps training stable" in page
    assert len(page) < 80_000
