"""A source hash covers what code can reach by import, that and no more."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from gradwarden.core import provenance
from gradwarden.core.provenance import combined, environment, sources

FILES = {
    "__init__.py": "from pack.report import page\n",
    "core/__init__.py": "",
    "core/errors.py": "",
    "core/words.py": "from pack.core.errors import Bad\n",
    "clip/__init__.py": "if TYPE_CHECKING:\n    from pack.clip.norm import norm as norm\n",
    "clip/norm.py": "import math\nfrom pack.core import words\nfrom other.report import page\n",
    "clip/late.py": "def f():\n    import pack.clip.norm as n\n",
    "clip/circle.py": "from pack.clip import circle\n",
    "report/__init__.py": "",
    "report/page.py": "from pack.clip.norm import norm\n",
}
Write = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """A package of known imports; each write forgets what was read before, as a new process does."""

    def forget() -> None:
        provenance._digest.cache_clear()
        provenance._imports.cache_clear()

    def write(name: str, text: str) -> None:
        path = tmp_path / "pack" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        forget()

    for name, text in FILES.items():
        write(name, text)
    monkeypatch.setattr(provenance, "ROOT", tmp_path / "pack")
    monkeypatch.setattr(provenance, "NAME", "pack")
    yield write
    forget()


NORM = ["clip/norm.py", "core/__init__.py", "core/errors.py", "core/words.py"]


@pytest.mark.parametrize(
    ("module", "reached"),
    [
        ("pack.core.errors", ["core/errors.py"]),
        ("pack.clip.norm", NORM),  # through two imports; `other.report` is none of ours
        ("pack.clip.late", ["clip/late.py", *NORM]),  # an import inside a function
        ("pack.clip", ["clip/__init__.py", *NORM]),  # an export
        ("pack.clip.circle", ["clip/__init__.py", "clip/circle.py", *NORM]),
        ("torch.report", []),
        ("pack", []),  # the top's exports reach everything, so it counts for nothing
    ],
)
@pytest.mark.usefixtures("write")
def test_what_is_reached(module: str, reached: list[str]) -> None:
    assert list(sources([module])) == reached


def test_a_hash_moves_with_what_it_covers_only(write: Write) -> None:
    before = combined(sources(["pack.clip.norm"]))
    write("report/page.py", "changed = 1\n")
    assert combined(sources(["pack.clip.norm"])) == before
    write("core/errors.py", "changed = 1\n")
    assert combined(sources(["pack.clip.norm"])) != before
    write("core/errors.py", FILES["core/errors.py"])
    assert combined(sources(["pack.clip.norm"])) == before


def test_renaming_a_file_moves_the_hash() -> None:
    assert combined({"a.py": "1"}) != combined({"b.py": "1"})
    assert combined({"a.py": "1", "b.py": "2"}) == combined({"b.py": "2", "a.py": "1"})


def test_our_own_closures() -> None:
    found = sources(["gradwarden.core.search"])
    assert set(found) >= {"core/search.py", "core/geometry.py", "core/threat.py", "core/errors.py"}
    assert all(name.startswith("core/") for name in found)


def test_the_environment_in_words() -> None:
    found = environment(["numpy", "no-such-package"])
    assert found["no-such-package"] == "not installed"
    assert found["numpy"][0].isdigit()
    assert found["cores"] == str(os.cpu_count())
    assert found["processor"]
