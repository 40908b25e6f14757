"""Advice on made-up runs whose answer is known."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from gradwarden.clip.advice import LATE, Advice, K, advise
from gradwarden.clip.attach import attach
from gradwarden.clip.record import Record, Row
from gradwarden.clip.rules.max_norm import MaxNorm
from gradwarden.core.errors import BadInput

SPREAD = [0.8, 0.9, 1.0, 1.1, 1.25]  # median 1
# Median absolute deviation of their logarithms: the third of 0, .095, .105, .22, .22
EDGE = math.exp(K * 1.4826 * math.log(1 / 0.9))


def record(norms: Iterable[float], threshold: float = math.inf, optimizer: str = "SGD") -> Record:
    rows = []
    for step, norm in enumerate(norms, 1):
        finite = math.isfinite(norm)
        c = min(1.0, threshold / norm) if finite and norm else float(finite)
        rows.append(Row(step, norm, threshold, c, finite, norm * c if finite else 0.0))
    return Record(
        rule="MaxNorm(...)", version="", optimizer=optimizer, parameters=("w",), rows=tuple(rows)
    )


def of(norms: Sequence[float], threshold: float = math.inf, optimizer: str = "SGD") -> Advice:
    return advise(record(norms, threshold, optimizer))


def test_a_calm_run() -> None:
    found = of(SPREAD * 40)
    assert found.role == "idle"
    assert "does not matter here" in found.role_why
    assert found.threshold == pytest.approx(EDGE)
    assert found.rate == 1.0
    assert found.rate_why == "clipping leaves the learning rate as it is"
    assert (found.clipped, found.skipped, found.norm, found.steps) == (0.0, 0.0, 1.0, 200)
    assert found.head_room == 1.0
    assert "none that was seen" in found.head_room_why
    assert found.events == ()


def test_the_threshold_clips_fewer_than_one_percent_of_ordinary_norms() -> None:
    torch.manual_seed(0)
    for sigma in (0.1, 0.5, 1.0):
        norms = (sigma * torch.randn(20_000)).exp()
        threshold = of(norms[:1000].tolist()).threshold
        assert float((norms > threshold).float().mean()) < 0.01


@pytest.mark.parametrize("bad", [60.0, math.nan])
def test_a_run_with_accidents(bad: float) -> None:
    found = of([*SPREAD * 40, bad, *SPREAD * 40])
    assert found.role == "guard"
    assert "1 time a gradient stood out or was not finite, first at step 201" in found.role_why
    assert found.threshold == pytest.approx(EDGE, rel=0.01)
    assert [e.step for e in found.events] == [201]


def test_head_room_is_what_was_survived() -> None:
    found = of([*SPREAD * 40, 60.0, *SPREAD * 40])
    assert found.head_room == pytest.approx(60.0 / EDGE, rel=0.01)
    lost = of([*SPREAD * 40, 60.0, 1.0, math.nan, *SPREAD * 40])
    assert lost.head_room == 1.0
    clipped = of([*SPREAD * 40, 60.0, *SPREAD * 40], threshold=6.0)
    assert clipped.head_room == pytest.approx(6.0 / EDGE, rel=0.01)


@pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "RMSprop"])
def test_norms_say_nothing_on_the_rate_of_adam(optimizer: str) -> None:
    found = of([*SPREAD * 40, 60.0, *SPREAD * 40], 0.5, optimizer)
    assert found.head_room is None
    assert "norms do not tell" in found.head_room_why
    assert "a steady coefficient cancels" in found.rate_why


def test_every_step_clipped_can_be_right() -> None:
    found = of([2.0, 4.0, 8.0, 4.0] * 50, 1.0)
    assert found.role == "normaliser"
    assert "100% of the steps are clipped" in found.role_why
    assert "can be right" in found.role_why
    assert found.threshold == 1.0
    assert found.rate == pytest.approx((0.5 + 0.25 + 0.125 + 0.25) / 4)
    assert found.rate_why == "the mean step is 28% as long as the learning rate says"
    assert "0.28 times the learning rate" in found.threshold_why
    assert found.head_room == 1.0


def test_ordinary_steps_made_shorter() -> None:
    found = of(SPREAD * 40, 1.1)
    assert found.role == "trim"
    assert found.clipped == pytest.approx(0.2)
    assert found.rate == pytest.approx((4 + 1.1 / 1.25) / 5)
    assert found.threshold == pytest.approx(EDGE)


def test_a_threshold_is_for_the_level_now() -> None:
    found = of([*SPREAD * 200, *[10 * n for n in SPREAD * 80]])
    assert found.threshold == pytest.approx(10 * EDGE, rel=0.05)
    assert any(e.kind == "level shift" for e in found.events)


def test_norms_of_long_ago_do_not_count() -> None:
    norms = [30.0 * 0.999**i for i in range(4 * LATE)]
    assert of([*norms, *SPREAD * (LATE // 5)]).threshold == pytest.approx(EDGE)


def test_a_drift_is_a_case_for_a_rule_that_follows() -> None:
    found = of([n * 0.998**i for i, n in enumerate(SPREAD * 150)])
    assert "the rule Adaptive() follows" in found.threshold_why
    assert "Adaptive" not in of(SPREAD * 150).threshold_why


def test_skipped_steps_are_left_out_of_the_rate() -> None:
    made = record(SPREAD * 40)
    rows = [r._replace(coefficient=0.0, after=0.0) if r.step % 4 == 0 else r for r in made.rows]
    found = advise(Record(**{**vars(made), "rows": tuple(rows)}))
    assert (found.skipped, found.rate) == (0.25, 1.0)


def test_an_unknown_norm_after_clipping_falls_back_to_the_coefficient() -> None:
    made = record([2.0] * 64, 1.0)
    rows = tuple(r._replace(after=math.nan) for r in made.rows)
    assert advise(Record(**{**vars(made), "rows": rows})).rate == 0.5


def test_too_short_a_run() -> None:
    with pytest.raises(BadInput, match="advice needs 32 steps with a finite gradient, got 5 of 6"):
        of([*SPREAD, math.nan])


def guard(**options: Any) -> Any:
    w = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([w], lr=0.1)
    found = attach(optimizer, MaxNorm(1.0), **options)
    for _ in range(40):
        w.grad = torch.full((1,), 4.0)
        optimizer.step()
    return found


def test_a_guard_gives_advice_from_what_it_saw(tmp_path: Path) -> None:
    sinks: list[Any] = [tmp_path / "r.jsonl", lambda entry: None, []]
    for sink in sinks:
        found = guard(record=sink).advise()
        assert (found.steps, found.role, found.rate) == (40, "normaliser", 0.25)
        assert (found.optimizer, found.rule) == ("SGD", "MaxNorm(max_norm=1.0)")
    with pytest.raises(BadInput, match=r"nothing was recorded: attach\(..., record="):
        guard().advise()


def test_observing_alone_changes_nothing_and_gives_advice() -> None:
    w = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([w], lr=0.5)
    observer = attach(optimizer, None, on_nonfinite="keep", record=[])
    for i in range(64):
        w.grad = torch.full((1,), SPREAD[i % 5])
        before = w.detach().clone()
        optimizer.step()
        assert torch.equal(w, before - 0.5 * SPREAD[i % 5])
    found = observer.advise()
    assert (found.rule, found.role) == ("None", "idle")
    w.grad = torch.full((1,), math.nan)
    optimizer.step()
    assert w.isnan()
    assert observer.last is not None
    assert not observer.last.finite
