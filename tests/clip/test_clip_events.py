"""Events on made-up sequences: each kind once where it belongs, none in ordinary noise."""

import math
import random
from collections.abc import Iterable

import pytest

from gradwarden.clip.events import ALWAYS, NEVER, PAST, RECENT, REST, Detector
from gradwarden.clip.record import Event, Row


def rows(
    norms: Iterable[float], threshold: float = math.inf, loss: float | None = None
) -> list[Row]:
    made = []
    for step, norm in enumerate(norms, 1):
        finite = math.isfinite(norm)
        coefficient = min(1.0, threshold / norm) if finite and norm else float(finite)
        culprits = () if finite else ("head.weight",)
        made.append(Row(step, norm, threshold, coefficient, finite, loss=loss, culprits=culprits))
    return made


def events(made: Iterable[Row]) -> list[Event]:
    detector = Detector()
    return [event for row in made for event in detector.see(row)]


def found(made: Iterable[Row]) -> list[tuple[int, str]]:
    return [(e.step, e.kind) for e in events(made)]


def noise(n: int, sigma: float = 0.25, level: float = 1.0, seed: int = 0) -> list[float]:
    draw = random.Random(seed)
    return [level * math.exp(sigma * draw.gauss(0.0, 1.0)) for _ in range(n)]


@pytest.mark.parametrize("sigma", [0.01, 0.1, 0.25, 0.5, 1.0])
def test_ordinary_noise_raises_nothing(sigma: float) -> None:
    for seed in range(8):
        assert found(rows(noise(4000, sigma, 10.0 ** (seed - 4), seed), math.inf)) == []


@pytest.mark.parametrize("sigma", [0.1, 0.5])
def test_ordinary_noise_with_some_clipping_raises_nothing(sigma: float) -> None:
    assert found(rows(noise(8000, sigma), 1.0)) == []


@pytest.mark.parametrize("ratio", [0.999, 1.001])
def test_slow_change_raises_nothing(ratio: float) -> None:
    assert found(rows(n * ratio**i for i, n in enumerate(noise(3000)))) == []


@pytest.mark.parametrize(
    ("sigma", "times"), [(0.01, 4.0), (0.25, 10.0), (0.5, 40.0), (1.0, 3000.0)]
)
def test_a_spike_is_one_event_and_says_how_high(sigma: float, times: float) -> None:
    made = rows([*noise(300, sigma, seed=1), times, *noise(300, sigma, seed=2)])
    made[300] = made[300]._replace(worst=("embed", 0.97))
    (event,) = events(made)
    assert (event.step, event.kind) == (301, "spike")
    assert event.why.endswith("embed holds 97% of its square")


def test_spikes_in_a_row_are_one_event_and_later_ones_another() -> None:
    calm = noise(300)
    made = rows([*calm, 50.0, 60.0, 1.0, 70.0, *calm, 80.0, *calm])
    assert found(made) == [(301, "spike"), (605, "spike")]


def test_early_on_only_a_large_spike_counts() -> None:
    assert found(rows([*noise(40), 10.0])) == []
    assert found(rows([*noise(40), 100.0])) == [(41, "spike")]
    assert found(rows([1.0] * (RECENT - 2) + [100.0])) == []


def test_before_there_is_a_level_nothing_stands_out() -> None:
    assert found(rows([1.0, 100.0, 0.01, 1.0])) == []


@pytest.mark.parametrize("times", [4.0, 0.25])
def test_a_level_shift_is_one_event(times: float) -> None:
    made = rows([*noise(400), *noise(600, level=times, seed=1)])
    (event,) = [e for e in events(made) if e.kind == "level shift"]
    assert 400 < event.step <= 400 + RECENT
    assert all(e.kind in ("spike", "level shift") for e in events(made))
    assert len(events(made)) <= 2


def test_a_level_shift_is_the_new_normal() -> None:
    made = rows([*noise(400), *noise(300, level=100.0, seed=1), 3000.0, *noise(50, level=100.0)])
    assert [kind for _, kind in found(made)] == ["spike", "level shift", "spike"]


def test_what_is_not_finite_is_one_event_an_episode() -> None:
    nan, calm = math.nan, [1.0] * (REST + 1)
    made = rows([*calm, nan, math.inf, 1.0, nan, *calm, nan])
    assert found(made) == [(REST + 2, "non-finite"), (2 * REST + 7, "non-finite")]
    assert "the gradient is not finite in head.weight" in events(made)[0].why


def test_a_loss_that_is_not_finite_is_an_event() -> None:
    (event,) = events(rows([1.0, 1.0], loss=math.inf))
    assert event == Event(1, "non-finite", "the loss is inf, though the gradient is finite")


def test_norms_of_zero_say_nothing() -> None:
    assert found(rows([0.0, 1.0] * 400)) == []


def test_all_clipped() -> None:
    norms = [5.0] * (ALWAYS - 1)
    assert found(rows([*norms, 0.5, *norms], 1.0)) == []
    assert found(rows([5.0] * 3 * ALWAYS, 1.0)) == [(ALWAYS, "all clipped")]
    again = [5.0] * ALWAYS + [0.5] * REST + [5.0] * ALWAYS
    kinds = [kind for _, kind in found(rows(again, 1.0)) if kind == "all clipped"]
    assert len(kinds) == 2


def test_never_clipped() -> None:
    assert found(rows([1.0] * 2 * NEVER, 11.0)) == [(NEVER, "never clipped")]
    assert found(rows([1.0] * 2 * NEVER, 9.0)) == []
    assert found(rows([1.0] * 2 * NEVER, math.inf)) == []
    assert found(rows([*[1.0] * (NEVER - 1), 2.0, *[1.0] * (NEVER - 1)], 11.0)) == []


def test_a_skipped_step_is_not_clipped() -> None:
    made = [row._replace(coefficient=0.0) for row in rows([1.0] * 2 * ALWAYS, 0.5)]
    assert found(made) == []


def test_memory_is_bounded() -> None:
    detector = Detector()
    for row in rows(noise(5000)):
        detector.see(row)
    assert len(detector._logs) <= PAST + RECENT
    assert len(detector._calm) <= 5
