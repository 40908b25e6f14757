"""The tables show what the rooms export, and a new entry needs no line in them."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

import gradwarden as gw
from gradwarden.cli.catalogue import entries, options, purpose, source


@dataclass(frozen=True, kw_only=True)
class Ours:
    """Clips at the golden
    ratio. Then says so.

    Source: Euclid, Elements,
    book VI, def. 3.
    Differs: it is a test.
    """

    ratio: float
    name_: str = "phi"
    parts: list[int] = field(default_factory=list)
    needs: ClassVar[int] = 3

    def step(self) -> None: ...


def test_what_is_read_from_a_class() -> None:
    assert options(Ours) == "ratio\nname_='phi'\nparts=[]"
    assert purpose(Ours) == "Clips at the golden ratio."
    assert source(Ours) == "Euclid, Elements, book VI, def. 3."


def test_the_source_may_stand_in_the_module() -> None:
    assert source(gw.clip.MaxNorm).startswith("Pascanu et al. 2013, arXiv:1211.5063")
    assert "Differs" not in source(gw.clip.ZScore)


ROOMS = [
    ("rules", "clip", {"MaxNorm", "MaxValue", "Quantile", "ZScore"}),
    ("masks", "mask", {"BitDepth", "JPEG", "Distillation"}),
    ("attacks", "attack", {"FGSM", "PGD", "Noise"}),
    ("tasks", "tasks", {"lstm-text", "digits-cnn"}),
]


@pytest.mark.parametrize(("command", "_", "names"), ROOMS)
def test_each_table_holds_the_rooms_entries(
    run: Any, command: str, _: str, names: set[str]
) -> None:
    code, out, err = run(command)
    assert (code, err) == (0, "")
    assert names <= set(out.split())


@pytest.mark.parametrize("room", [room for _, room, _ in ROOMS])
def test_every_entry_says_what_it_does_and_where_it_comes_from(room: str) -> None:
    kinds = list(entries(room, "step", "defend", "fit", "run", "name"))
    assert kinds
    for kind in kinds:
        assert purpose(kind).endswith("."), kind
        assert source(kind), kind


def test_a_new_entry_shows_up_by_itself(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gw.clip, "Ours", Ours, raising=False)
    monkeypatch.setattr(gw.clip, "__all__", [*gw.clip.__all__, "Ours"])
    out = run("rules").out
    assert "Clips at the golden ratio." in out
    assert "Euclid, Elements, book VI, def. 3." in " ".join(out.split())
