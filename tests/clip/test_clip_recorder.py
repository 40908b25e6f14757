"""The record: complete, readable after a torn line, flushed at exit, bounded in memory, no waiting."""

import json
import math
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gradwarden import __version__
from gradwarden.clip.attach import Guard, attach
from gradwarden.clip.record import (
    Entry,
    Event,
    Follower,
    Header,
    JsonLines,
    Row,
    Window,
    from_json,
    read_record,
    to_json,
)
from gradwarden.clip.recorder import EVERY, KEPT, Recorder
from gradwarden.clip.rules.agc import AGC
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.clip.rules.max_value import MaxValue
from gradwarden.clip.rules.skip_spikes import SkipSpikes
from gradwarden.clip.transforms.u_clip import UClip
from gradwarden.core.errors import BadInput, StoreError

ONE = MaxNorm(1.0)


def run(sink: Any, norms: list[float], rule: Any = ONE, **options: Any) -> Guard:
    """Gradients of `w`; `b` gets a quarter of the square."""
    w, b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([("w", w), ("b", b)], lr=0.1)
    guard = attach(optimizer, rule, record=sink, **options)
    for norm in norms:
        w.grad, b.grad = torch.full((1,), norm * math.sqrt(0.75)), torch.full((1,), norm / 2)
        if not math.isfinite(norm):
            b.grad = torch.zeros(1)
        optimizer.step()
    return guard


def of(kind: type[Any], entries: list[Entry]) -> list[Any]:
    return [e for e in entries if isinstance(e, kind)]


def test_one_row_a_step(tmp_path: Path) -> None:
    norms = [0.5, 4.0, math.nan, math.inf, 1.0]
    guard = run(tmp_path / "deep" / "r.jsonl", norms)
    guard.detach()
    record = read_record(tmp_path / "deep" / "r.jsonl")
    assert (record.rule, record.parameters) == ("MaxNorm(max_norm=1.0)", ("w", "b"))
    assert (record.version, record.optimizer) == (__version__, "SGD")
    assert [r.step for r in record.rows] == [1, 2, 3, 4, 5]
    assert [r.norm for r in record.rows] == pytest.approx(norms, nan_ok=True)
    assert [r.coefficient for r in record.rows] == pytest.approx([1.0, 0.25, 0.0, 0.0, 1.0])
    assert [r.after for r in record.rows] == pytest.approx([0.5, 1.0, 0.0, 0.0, 1.0])
    assert [r.finite for r in record.rows] == [True, True, False, False, True]
    assert [r.culprits for r in record.rows] == [(), (), ("w",), ("w",), ()]
    assert [r.worst for r in record.rows] == [("w", 0.75)] * 2 + [None] * 2 + [("w", 0.75)]
    assert [(r.clipped, r.skipped) for r in record.rows[:3]] == [
        (False, False),
        (True, False),
        (False, True),
    ]


@pytest.mark.parametrize(
    "rule",
    [
        MaxNorm(1.0),
        MaxNorm(1.0, p=3.0),
        MaxNorm(0.5, scope="tensor"),
        MaxValue(0.3),
        AGC(),
        UClip(MaxNorm(0.5)),
        {"w": MaxNorm(0.5), "b": None},
        None,
    ],
    ids=str,
)
def test_the_norm_after_clipping_is_that_of_the_gradients_used(rule: Any) -> None:
    told: list[Entry] = []
    torch.manual_seed(0)
    w, b = nn.Parameter(torch.randn(3, 4)), nn.Parameter(torch.randn(5))
    optimizer = torch.optim.SGD([("w", w), ("b", b)], lr=0.1)
    guard = attach(optimizer, rule, record=told.append)
    order = rule.p if isinstance(rule, MaxNorm) else 2.0
    used = []
    for scale in (0.01, 1.0, 100.0):
        w.grad, b.grad = scale * torch.randn(3, 4), scale * torch.randn(5)
        optimizer.step()
        grads = torch.cat([w.grad.flatten(), b.grad])
        used.append(float(torch.linalg.vector_norm(grads, order)))
    guard.detach()
    assert [r.after for r in of(Row, told)] == pytest.approx(used, rel=1e-5)


def test_a_loss_is_in_the_record_where_it_was_given() -> None:
    told: list[Entry] = []
    w = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([w], lr=0.1)
    guard = attach(optimizer, record=told.append)
    for loss in (1.5, None, torch.tensor(math.nan), torch.tensor(2.0, dtype=torch.bfloat16)):
        w.grad = torch.ones(1)
        if loss is not None:
            guard.observe(loss)
        optimizer.step()
    guard.detach()
    losses = [r.loss for r in of(Row, told)]
    assert losses == [1.5, None, pytest.approx(math.nan, nan_ok=True), 2.0]
    assert [e.why for e in of(Event, told)] == ["the loss is nan, though the gradient is finite"]


def test_the_loss_of_a_closure_is_seen() -> None:
    told: list[Entry] = []
    w = nn.Parameter(torch.tensor([3.0]))
    optimizer = torch.optim.LBFGS([w], max_iter=2)
    guard = attach(optimizer, MaxNorm(100.0), record=told.append)

    def closure() -> float:
        optimizer.zero_grad()
        loss = (w**2).sum()
        loss.backward()
        return loss.item()

    optimizer.step(closure)
    guard.detach()
    rows = of(Row, told)
    assert len(rows) >= 2
    assert rows[0].loss == 9.0
    assert rows[0].norm == 6.0


def test_each_flush_sums_its_steps_up() -> None:
    told: list[Entry] = []
    norms = [0.5] * 16 + [1.0] * 16 + [2.0] * 31 + [math.nan] + [8.0] * 3
    run(told.append, norms).detach()
    first, second = of(Window, told)
    assert (first.first, first.last, second.first, second.last) == (1, 64, 65, 67)
    assert first.quartiles == pytest.approx((0.5, 0.75, 1.0, 2.0, 2.0))
    assert (first.clipped, first.skipped) == (31 / 64, 1 / 64)
    assert first.dominant == (("w", 0.75), ("b", 0.25))
    assert second.quartiles == pytest.approx((8.0,) * 5)


def test_a_flush_without_a_finite_norm_has_no_quartiles() -> None:
    told: list[Entry] = []
    run(told.append, [math.nan]).detach()
    assert of(Window, told) == [Window(1, 1, (), 0.0, 1.0, ())]


def test_parameters_without_a_gradient_count_as_zero() -> None:
    told: list[Entry] = []
    params = [nn.Parameter(torch.zeros(1)) for _ in range(3)]
    optimizer = torch.optim.SGD([(name, p) for name, p in zip("abc", params, strict=True)], lr=0.1)
    guard = attach(optimizer, record=told.append)
    for i in range(3):
        for k, p in enumerate(params):
            p.grad = (
                torch.full((1,), math.nan if i == 2 and k == 2 else k + 1.0) if k >= i else None
            )
        optimizer.step()
    guard.detach()
    rows = of(Row, told)
    assert [r.worst and r.worst[0] for r in rows] == ["c", "c", None]
    assert rows[1].worst[1] == pytest.approx(9 / 13, abs=1e-4)
    assert rows[2].culprits == ("c",)


def test_events_are_told_after_their_row() -> None:
    told: list[Entry] = []
    run(told.append, [1.0] * 40 + [50.0] + [1.0] * 5, None).detach()
    (event,) = of(Event, told)
    assert (event.step, event.kind) == (41, "spike")
    assert event.why == "norm 50 is 50 times the median 1; w holds 75% of its square"
    place = told.index(event)
    assert told[place - 1].step == 41  # type: ignore[union-attr]


def test_a_step_that_a_rule_skips_counts_as_skipped() -> None:
    told: list[Entry] = []
    run(told.append, [1.0, 1.1] * 80 + [90.0], SkipSpikes()).detach()
    rows = of(Row, told)
    assert (rows[-1].finite, rows[-1].skipped, rows[-1].after) == (True, True, 0.0)


def test_several_sinks_hear_the_same(tmp_path: Path) -> None:
    told: list[Entry] = []
    run([told.append, tmp_path / "a.jsonl", str(tmp_path / "b.jsonl")], [1.0, 2.0]).detach()
    for name in ("a", "b"):
        assert list(Follower(tmp_path / f"{name}.jsonl").read()) == told
    assert isinstance(told[0], Header)


def test_a_nonfinite_step_is_on_disk_at_once_others_within_a_flush(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    guard = run(path, [1.0, math.nan, 1.0])
    assert len(read_record(path).rows) == 2
    guard.detach()
    assert len(read_record(path).rows) == 3
    guard = run(path, [1.0] * (2 * EVERY + 2))
    assert len(read_record(path).rows) == 3 + 2 * EVERY
    guard.detach()


@pytest.mark.parametrize("cut", [1, 2, 40, 160])
def test_a_torn_line_costs_that_line_only(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "r.jsonl"
    run(path, [1.0, 2.0, 3.0]).detach()
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    left = whole[:-cut].count(b"\n") - 1
    assert [r.norm for r in read_record(path).rows] == pytest.approx([1.0, 2.0, 3.0][:left])
    run(path, [4.0]).detach()
    assert len(of(Header, list(Follower(path).read()))) == 2
    assert [r.norm for r in read_record(path).rows] == pytest.approx([*[1.0, 2.0, 3.0][:left], 4.0])


def test_a_follower_reads_what_is_new_and_waits_for_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    sink = JsonLines(path)
    header, event = Header("1", "None", "SGD", ("w",)), Event(3, "spike", "it was high")
    sink(header)
    sink.flush()
    follower = Follower(path)
    assert list(follower.read()) == [header]
    assert list(follower.read()) == []
    line = json.dumps(to_json(event)) + "\n"
    with path.open("a") as file:
        file.write(line[:9])
    assert list(follower.read()) == []
    with path.open("a") as file:
        file.write(line[9:])
    assert list(follower.read()) == [event]
    sink.close()
    path.write_text(line)  # another file in its place
    assert list(follower.read()) == [event]


ENTRIES: list[Entry] = [
    Header("0.1", "MaxNorm(max_norm=1.0)", "Adam", ("w", "b")),
    Row(1, 1.0, math.inf, 1.0, True, 1.0, 0.0, ("w", 0.5)),
    Row(2, math.inf, 1.0, 0.0, False, 0.0, None, None, ("w", "b")),
    Window(1, 2, (1.0, 1.0, 1.0, 1.0, 1.0), 0.0, 0.5, (("w", 0.5),)),
    Event(2, "non-finite", "so it is"),
]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: type(e).__name__)
def test_an_entry_survives_strict_json(entry: Entry) -> None:
    assert from_json(json.loads(json.dumps(to_json(entry), allow_nan=False))) == entry


@pytest.mark.parametrize("item", [{}, {"step": "x"}, {"event": 1}, {"window": [1]}, {"schema": 1}])
def test_what_is_no_entry_is_none(item: dict[str, Any]) -> None:
    assert from_json(item) is None


def test_the_exit_of_the_process_writes_the_rest(tmp_path: Path) -> None:
    code = f"""
import torch, gradwarden as gw
w = torch.nn.Parameter(torch.zeros(1))
optimizer = torch.optim.SGD([w], lr=0.1)
gw.clip.attach(optimizer, gw.clip.MaxNorm(1.0), record={str(tmp_path / "r.jsonl")!r})
w.grad = torch.ones(1)
optimizer.step()
"""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env, timeout=120)
    assert len(read_record(tmp_path / "r.jsonl").rows) == 1


def test_a_full_disk_ends_the_record_and_not_the_run() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with pytest.warns(UserWarning, match="the record /dev/full ends here: No space left"):
        guard = run("/dev/full", [1.0, math.nan, 1.0])
    assert guard.steps == 3
    guard.detach()


def test_bad_files(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("hello\n3\n")
    with pytest.raises(BadInput, match="not a record of gradwarden"):
        read_record(tmp_path / "x.jsonl")
    (tmp_path / "x.jsonl").write_text('{"schema": 99}\n')
    with pytest.raises(BadInput, match="expected schema 1, got 99"):
        read_record(tmp_path / "x.jsonl")
    with pytest.raises(BadInput, match=r"cannot read the record .*: No such file"):
        read_record(tmp_path / "y.jsonl")
    with pytest.raises(StoreError, match="cannot write the record"):
        run(tmp_path / "x.jsonl" / "below", [])


@pytest.mark.parametrize("steps", [30_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_memory_stays_bounded(steps: int) -> None:
    """Made-up rows, put into the buffer as `add` would."""
    recorder = Recorder([], Header("", "", "", ("w",)), torch.device("cpu"))
    tracemalloc.start()
    try:
        early = 0
        for first in range(0, steps, EVERY):
            recorder._buffer[:, :5] = torch.tensor([1.0 + first % 7, 1.0, 1.0, 1.0, 1.0])
            recorder._steps = list(range(first, first + EVERY))
            recorder._given = [False] * EVERY
            recorder.flush()
            if first < 2 * KEPT:
                early = tracemalloc.get_traced_memory()[0]
        late = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert recorder.rows[-1].step >= steps - 1
    assert len(recorder.rows) == KEPT
    assert late < early + 100_000


class Transfers(TorchDispatchMode):
    """Rejects what waits for cuda; a copy into pinned memory that nobody waits for is allowed."""

    copies = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        op, aten = func.overloadpacket, torch.ops.aten
        before = {x.device.type for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        out = func(*args, **(kwargs or {}))
        after = {x.device.type for x in tree_leaves(out) if isinstance(x, Tensor)}
        reads = op in {aten._local_scalar_dense, aten.nonzero, aten.masked_select}
        moves = op in {aten._to_copy, aten.copy_} and after == {"cpu"}
        if "cuda" in before and (reads or moves):
            assert op is aten.copy_, op
            assert args[2] is True, "a copy that waits"
            self.copies += 1
        return out


class Pending:
    """An event of a device that is never done."""

    def record(self) -> None: ...
    def query(self) -> bool:
        return False


def test_on_an_accelerator_nothing_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "Event", Pending)
    empty = torch.empty
    monkeypatch.setattr(
        torch,
        "empty",
        lambda *size, **kw: empty(*size, **{k: v for k, v in kw.items() if k != "pin_memory"}),
    )
    with FakeTensorMode(), Transfers() as seen:  # type: ignore[no-untyped-call]
        params = [nn.Parameter(torch.ones(n, device="cuda")) for n in (3, 70_000)]
        optimizer = torch.optim.SGD(params, lr=0.1, foreach=True)
        guard = attach(
            optimizer, ONE, on_nonfinite="zero", max_skips=None, record=lambda entry: None
        )
        assert guard._close is not None
        guard._close.detach()  # at exit there would be a device to wait for
        for _ in range(EVERY + 2):
            for p in params:
                p.grad = torch.ones_like(p)
            guard.observe(torch.ones((), device="cuda"))
            optimizer.step()
        assert seen.copies == 1
