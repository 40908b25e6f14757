"""Every model of the zoo: files, both forms, and figures that follow from its samples' fates."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from gradwarden import zoo
from gradwarden.attack.chance import seeded
from gradwarden.attack.referee import judge as referee
from gradwarden.core.protocols import Surrogated
from gradwarden.zoo.judge import DRAWS, right
from gradwarden.zoo.known import ADAPTED, accuracies, hides
from gradwarden.zoo.registry import ENTRIES
from gradwarden.zoo.store import WEIGHTS, digest

PLAIN = Path(str(sys.modules["gradwarden.zoo"].__file__)).parent / "plain"
each = pytest.mark.parametrize("name", zoo.names())


def test_the_files_are_small_and_all_of_them_belong_to_an_entry() -> None:
    files = {path.name: path.stat().st_size for path in WEIGHTS.iterdir()}
    ends = (".safetensors", ".witnesses.safetensors", ".json")
    assert set(files) == {entry.net + end for entry in ENTRIES for end in ends}
    assert max(files.values()) <= 250_000
    assert sum(files.values()) <= 8_000_000


def test_the_registry_is_complete_and_a_family_stands_in_one_half() -> None:
    nets = [entry.net for entry in ENTRIES]
    assert len(set(nets)) == len(nets) == len(set(zoo.names()))
    assert set(nets) == {path.stem for path in PLAIN.glob("net_*.py")}
    halves: dict[str, set[str]] = {}
    for entry in ENTRIES:
        halves.setdefault(entry.family, set()).add(entry.half)
    honest = {entry.family for entry in ENTRIES if entry.kind == "honest"}
    assert all(len(found) == 1 for family, found in halves.items() if family not in honest)


@each
def test_the_stored_files_are_those_that_were_judged(name: str) -> None:
    known, entry = zoo.answers(name), zoo.entry(name)
    assert digest(WEIGHTS / f"{entry.net}.safetensors") == known.weights
    assert digest(WEIGHTS / f"{entry.net}.witnesses.safetensors") == known.witnesses
    for field in ("name", "net", "half", "family", "kind", "data", "module", "note"):
        assert getattr(known, field) == getattr(entry, field)
    assert known.threat == repr(entry.threat)


@each
def test_both_forms_are_the_same_function(name: str) -> None:
    x, _ = zoo.data(name)
    blind, named = zoo.load(name, blind=True), zoo.load(name)
    for batch in (x[:1], x[:40]):
        outputs = []
        for model in (blind, named):
            with torch.no_grad(), seeded(x.device, 0, name):
                outputs.append(model(batch.clone()))
        torch.testing.assert_close(*outputs, rtol=1e-5, atol=1e-4)  # kernels differ with layouts
    assert sum(p.numel() for p in blind.parameters()) <= 60_000
    assert not blind.training
    assert not named.training


@each
def test_the_blind_form_tells_nothing(name: str) -> None:
    entry, blind = zoo.entry(name), zoo.load(name, blind=True)
    homes = {type(module).__module__ for module in blind.modules()}
    own = {home for home in homes if not home.startswith("torch.")}
    assert own <= {f"gradwarden.zoo.plain.{entry.net}"}
    assert not any(isinstance(module, Surrogated) for module in blind.modules())
    words = {word for path, _ in blind.named_modules() for word in path.split(".")}
    kinds = {type(module).__name__ for module in blind.modules() if type(module).__module__ in own}
    assert kinds <= {"Stage", "Unit", "Net"}
    assert all(word.isdigit() or word in {"", "body", "parts"} for word in words)
    if entry.module is not None:
        blind.get_submodule(entry.module)


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def test_plain_nets_import_nothing_else_of_ours() -> None:
    for path in PLAIN.glob("*.py"):
        assert {name for name in imports(path) if "gradwarden" in name} <= {"gradwarden.zoo.plain"}


@each
def test_the_answers_follow_from_the_fates(name: str) -> None:
    known = zoo.answers(name)
    assert (known.clean, known.naive, known.best) == accuracies(known.fates)
    assert (known.masked, known.p_value) == hides(known.fates)
    assert known.masked == (known.naive.value - known.best.value >= 0.1 - 1e-9)
    assert len(known.fates) == known.clean.n == len(zoo.data(name).y)
    fell = sum(known.attacks.values())
    assert fell == known.fates.count("n") + known.fates.count("a")
    if known.certified is not None:
        assert known.certified.value <= known.best.value


@each
def test_clean_accuracy_is_as_stored(name: str) -> None:
    known, entry = zoo.answers(name), zoo.entry(name)
    found = right(entry, zoo.load(name, blind=True), zoo.data(name))
    assert [fate == "w" for fate in known.fates] == (~found).tolist()


@each
def test_witnesses_are_confirmed_by_the_referee(name: str) -> None:
    known, entry, (ids, x_adv) = zoo.answers(name), zoo.entry(name), zoo.witnesses(name)
    assert all(known.fates[i] == ADAPTED for i in ids.tolist())
    most = min(24, known.fates.count(ADAPTED))
    assert len(ids) == most if known.masked or not entry.stochastic else len(ids) <= most
    if known.masked:
        assert len(ids) == 24
    x, y = zoo.data(name)
    model: nn.Module = zoo.load(name, blind=True)
    draws = DRAWS if entry.stochastic else 1
    with seeded(x.device, 1, name):
        judged = referee(model, x_adv, x[ids], y[ids], entry.threat, draws)
    assert judged.allowed.all()
    assert judged.confirmed.sum() >= (0.9 if entry.stochastic else 1.0) * len(ids)
    assert (known.half, len(known.fates)) == (entry.half, len(x))
