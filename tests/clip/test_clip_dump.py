"""What is dumped where a step is lost: all that it was computed from, whole, a bounded number."""

import json
import math
import sys
import weakref
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from gradwarden.clip.attach import Guard, attach
from gradwarden.clip.dump import Dump, Pass, read_dump, write_dump
from gradwarden.clip.dumper import MOST
from gradwarden.clip.record import Header, Row
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.skip_spikes import SkipSpikes
from gradwarden.core.errors import BadInput, MissingExtra, NonFiniteGradient

pytest.importorskip("safetensors")

GOOD = torch.ones(4, 2)
BAD = torch.tensor([[1.0, math.nan]] * 4)


class Training:
    """A loop over batches; the last value of `step` is the loss."""

    def __init__(self, folder: Path, rule: Any = None, **options: Any) -> None:
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Linear(2, 1))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.guard: Guard = attach(
            self.optimizer, rule or MaxNorm(1.0), model=self.model, dump=folder, **options
        )

    def step(self, *batches: Tensor, scale: float = 1.0) -> None:
        self.optimizer.zero_grad()
        for x in batches:
            loss = self.model(x).square().mean() * scale
            loss.backward()
            self.guard.observe(loss, {"x": x, "id": 3})
        self.optimizer.step()


def test_a_lost_step_is_dumped_whole(tmp_path: Path) -> None:
    run = Training(tmp_path / "a" / "b")
    for _ in range(3):
        run.step(GOOD)
    weights = {k: v.clone() for k, v in run.model.named_parameters()}
    run.step(BAD)
    assert [p.name for p in (tmp_path / "a" / "b").iterdir()] == ["step-4"]
    found = read_dump(tmp_path / "a" / "b" / "step-4")
    assert (found.step, found.header.optimizer, found.scale) == (4, "SGD", 1.0)
    assert "2.weight" in found.culprits
    assert all(torch.equal(found.weights[name], value) for name, value in weights.items())
    assert {"0.running_mean", "0.running_var", "0.num_batches_tracked"} < found.weights.keys()
    assert found.training == ("", "0", "1", "2")
    (one,) = found.passes
    assert torch.equal(one.batch["x"].nan_to_num(7.0), BAD.nan_to_num(7.0))
    assert one.batch["id"] == 3
    assert one.loss is not None
    assert math.isnan(one.loss)
    assert [row.finite for row in found.tail] == [True, True, True, False]
    assert all(isinstance(row, Row) and row.loss is not None for row in found.tail)
    assert found.environment["torch"]
    run.guard.detach()


def test_the_random_state_is_that_before_the_forward(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.step(GOOD)
    torch.rand(7)
    numpy: Any = np.random.get_state()
    before = torch.get_rng_state()
    run.step(BAD)
    rng = read_dump(tmp_path / "step-2").passes[0].rng
    assert rng is not None
    assert torch.equal(rng.cpu, before)
    assert np.array_equal(rng.numpy[1], numpy[1])


def test_validation_between_steps_has_no_say(tmp_path: Path) -> None:
    run = Training(tmp_path)
    with torch.no_grad():
        run.model(GOOD)
    before = torch.get_rng_state()
    run.step(BAD)
    rng = read_dump(tmp_path / "step-1").passes[0].rng
    assert rng is not None
    assert torch.equal(rng.cpu, before)


def test_each_pass_of_an_accumulation_is_there(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.step(GOOD, 2 * GOOD)
    run.step(3 * GOOD, BAD, GOOD)
    passes = read_dump(tmp_path / "step-2").passes
    assert [float(p.batch["x"][0, 0]) for p in passes] == [3.0, 1.0, 1.0]
    states = [p.rng.cpu for p in passes if p.rng is not None]
    assert not torch.equal(states[0], states[1])


def test_passes_of_a_withheld_step_are_forgotten(tmp_path: Path) -> None:
    run = Training(tmp_path)
    loss = run.model(GOOD).mean()
    loss.backward()
    run.guard.observe(loss, "withheld")
    run.step(BAD)
    (one,) = read_dump(tmp_path / "step-1").passes
    assert one.batch["id"] == 3


def test_of_several_lost_steps_in_a_row_the_first_is_dumped(tmp_path: Path) -> None:
    run = Training(tmp_path)
    for x in (GOOD, BAD, BAD, BAD, GOOD, BAD):
        run.step(x)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-2", "step-6"]


def test_a_folder_takes_a_bounded_number(tmp_path: Path) -> None:
    run = Training(tmp_path)
    for _ in range(MOST + 2):
        run.step(BAD)
        run.step(GOOD)
    assert len(list(tmp_path.iterdir())) == MOST
    with pytest.warns(UserWarning, match="holds 3 dumps already: no more are written"):
        again = Training(tmp_path)
    again.step(BAD)
    assert len(list(tmp_path.iterdir())) == MOST


def test_a_step_that_a_rule_skips_is_dumped(tmp_path: Path) -> None:
    run = Training(tmp_path, SkipSpikes())
    for i in range(150):
        run.step(GOOD, scale=1.0 + 0.01 * (i % 5))
    run.step(GOOD, scale=1e6)
    assert (tmp_path / "step-151").is_dir()


def test_policy_raise_leaves_a_dump(tmp_path: Path) -> None:
    run = Training(tmp_path, on_nonfinite="raise")
    with pytest.raises(NonFiniteGradient):
        run.step(BAD)
    assert (tmp_path / "step-1").is_dir()


@pytest.mark.parametrize(("x", "many"), [(GOOD, 0), (BAD, 1)])
def test_an_overflow_that_the_scaler_handles_is_no_accident(
    tmp_path: Path, x: Tensor, many: int
) -> None:
    """Fused kernels get the scaler's flag; without them its optimizer step does not happen."""
    run = Training(tmp_path)
    run.step(GOOD)
    run.guard.detach()
    run.optimizer = torch.optim.SGD(run.model.parameters(), lr=0.1, fused=True)
    run.guard = attach(run.optimizer, MaxNorm(1.0), model=run.model, dump=tmp_path)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**16)
    run.model.zero_grad()
    loss = run.model(x).square().mean()
    scaler.scale(loss).backward()
    run.guard.observe(loss, {"x": x})
    for p in run.model.parameters():
        assert p.grad is not None
        p.grad.fill_(math.inf)
    scaler.step(run.optimizer)
    assert len(list(tmp_path.iterdir())) == many
    if many:
        assert read_dump(tmp_path / "step-1").scale == 2.0**16


def test_the_batch_is_let_go_of_after_the_step(tmp_path: Path) -> None:
    run = Training(tmp_path)
    x = GOOD.clone()
    gone = weakref.ref(x)
    run.step(x)
    del x
    assert gone() is None


def test_detach_takes_the_hook_off_the_model(tmp_path: Path) -> None:
    run = Training(tmp_path)
    run.step(GOOD)
    run.guard.detach()
    assert not run.model._forward_pre_hooks


def test_a_dump_makes_every_step_read_a_flag(tmp_path: Path) -> None:
    assert not Training(tmp_path).guard.syncs  # on the CPU there is nothing to wait for


class Pair(NamedTuple):
    x: Tensor
    y: int


BATCHES: list[tuple[Any, Any]] = [
    ([1, 2, 3], [1, 2, 3]),
    (("a", None, True, math.nan), ("a", None, True, math.nan)),
    ({"x": [torch.arange(3)], 3: 1.5}, {"x": [torch.arange(3)], 3: 1.5}),
    (Pair(torch.ones(2, dtype=torch.bfloat16), 1), (torch.ones(2, dtype=torch.bfloat16), 1)),
    (np.arange(6.0).reshape(2, 3)[:, ::2], np.array([[0.0, 2.0], [3.0, 5.0]])),
    (np.float32(0.5), 0.5),
    (torch.ones(3, 4).t(), torch.ones(4, 3)),
    (torch.ones(1).expand(5), torch.ones(5)),
]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and repr(a) == repr(b)  # NaN is not equal to itself


def made(batch: Any, **weights: Tensor) -> Dump:
    return Dump(
        step=1,
        header=Header("1", "None", "SGD", ("w",)),
        culprits=(),
        scale=1.0,
        training=(),
        weights=weights,
        passes=(Pass(batch, 1.0, None, {"cpu": "bfloat16"}),),
        tail=(Row(1, math.inf, 1.0, 0.0, False),),
        environment={},
    )


@pytest.mark.parametrize(("batch", "expected"), BATCHES, ids=str)
def test_a_batch_comes_back(tmp_path: Path, batch: Any, expected: Any) -> None:
    write_dump(made(batch), tmp_path / "d")
    found = read_dump(tmp_path / "d")
    assert same(found.passes[0].batch, expected)
    assert found.passes[0].autocast == {"cpu": "bfloat16"}
    assert found.tail[0].norm == math.inf


def test_weights_that_share_memory(tmp_path: Path) -> None:
    flat = torch.arange(6.0)
    write_dump(made([], a=flat, b=flat.view(2, 3), c=flat[2:4], d=flat[::2]), tmp_path / "d")
    found = read_dump(tmp_path / "d").weights
    assert torch.equal(found["b"], flat.view(2, 3))
    assert torch.equal(found["c"], flat[2:4])
    assert torch.equal(found["d"], flat[::2])


def test_a_failed_dump_leaves_nothing_and_costs_a_warning(tmp_path: Path) -> None:
    run = Training(tmp_path / "dumps")
    loss = run.model(BAD).mean()
    loss.backward()
    run.guard.observe(loss, {"x": object()})
    with pytest.warns(UserWarning, match="no dump of step 1: the batch holds a object, expected"):
        run.optimizer.step()
    assert not list((tmp_path / "dumps").glob("*"))
    (tmp_path / "file").write_text("")
    blocked = Training(tmp_path / "file")
    with pytest.warns(UserWarning, match="no dump of step 1: "):
        blocked.step(BAD)


def test_a_write_that_breaks_off_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gradwarden.clip.dump.os.rename", full)
    with pytest.raises(OSError, match="No space"):
        write_dump(made([]), tmp_path / "d")
    assert not list(tmp_path.iterdir())


def test_what_a_dump_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    with pytest.raises(BadInput, match="dump= needs model= as well"):
        attach(optimizer, dump=tmp_path)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'gradwarden\[safetensors\]'"):
        attach(optimizer, model=model, dump=tmp_path)


def test_what_is_no_dump(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"is not a dump: expected a folder with dump.json$"):
        read_dump(tmp_path)
    write_dump(made([]), tmp_path / "d")
    with pytest.raises(BadInput, match=r"is not a dump: .*did you mean .*/d"):
        read_dump(tmp_path)
    rest = json.loads((tmp_path / "d" / "dump.json").read_text())
    (tmp_path / "d" / "dump.json").write_text(json.dumps(rest | {"schema": 2}))
    with pytest.raises(BadInput, match="expected schema 1, got 2"):
        read_dump(tmp_path / "d")
    (tmp_path / "d" / "dump.json").write_text("{")
    with pytest.raises(BadInput, match="is damaged: JSONDecodeError"):
        read_dump(tmp_path / "d")
    (tmp_path / "d" / "dump.json").write_text(json.dumps(rest))
    (tmp_path / "d" / "weights.safetensors").write_bytes(b"\0" * 5)
    with pytest.raises(BadInput, match="is damaged: SafetensorError"):
        read_dump(tmp_path / "d")


def test_the_umask_decides_who_may_read_it(tmp_path: Path) -> None:
    write_dump(made([torch.ones(1)], w=torch.ones(1)), tmp_path / "d")
    (tmp_path / "plain").write_text("")
    modes = {p.stat().st_mode for p in [tmp_path / "plain", *(tmp_path / "d").iterdir()]}
    assert len(modes) == 1
