"""The student is accurate, its softmax saturated: cross-entropy loses its gradient, margin not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gradwarden.attack.gradient import gradient_status
from gradwarden.core.balls.linf import Linf
from gradwarden.core.errors import BadInput
from gradwarden.core.threat import Threat
from gradwarden.mask.distillation import Distillation


def blobs(n: int = 256) -> tuple[Tensor, Tensor]:
    rng = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 3
    centres = torch.rand(3, 10, generator=rng)
    return (centres[y] + 0.03 * torch.randn(n, 10, generator=rng)).clamp(0, 1), y


def fitted(options: Distillation, seen: list[tuple[int, int]] | None = None) -> nn.Module:
    torch.manual_seed(0)
    x, y = blobs()
    loader = list(zip(x.split(32), y.split(32), strict=True))

    def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, 0.02)

    model = nn.Sequential(nn.Linear(10, 32), nn.Dropout(0.1), nn.ReLU(), nn.Linear(32, 3))
    tell = None if seen is None else (lambda done, total: seen.append((done, total)))
    student = options.fit(model, loader, adam, on_progress=tell)
    assert student is model
    return student


def test_the_gradient_of_cross_entropy_vanishes_and_that_of_the_margin_does_not() -> None:
    x, y = blobs()
    threat = Threat(ball=Linf(0.05))
    plain = fitted(Distillation(temperature=1.0, epochs=8))
    distilled = fitted(Distillation(temperature=50.0, epochs=80))
    for student in (plain, distilled):
        assert (student(x).argmax(1) == y).float().mean() > 0.97
    assert gradient_status(plain, x, y, threat).share_zero < 0.1
    assert gradient_status(distilled, x, y, threat).share_zero > 0.9
    assert gradient_status(distilled, x, y, threat, loss="margin").kind == "nonzero"


def test_it_is_used_at_temperature_one_in_eval_mode() -> None:
    student = fitted(Distillation(temperature=50.0, epochs=80))
    assert not any(module.training for module in student.modules())
    spread = student(blobs()[0]).softmax(1).amax(1)
    assert spread.median() > 0.9999


def test_the_student_learns_the_teachers_answers_not_the_labels() -> None:
    x, y = blobs(96)
    passes: list[Tensor] = []

    class Switching:
        """Right labels while the teacher learns, wrong ones for the student."""

        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            passes.append(y if len(passes) < 8 else (y + 1) % 3)
            return iter([(x, passes[-1])] * 10)

    torch.manual_seed(0)
    model = nn.Linear(10, 3)
    options = Distillation(temperature=5.0, epochs=8)
    options.fit(model, Switching(), lambda parameters: torch.optim.Adam(parameters, 0.1))
    assert len(passes) == 16
    assert (model(x).argmax(1) == y).float().mean() > 0.9


def test_progress_counts_both_trainings() -> None:
    seen: list[tuple[int, int]] = []
    fitted(Distillation(epochs=2), seen)
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]


@pytest.mark.parametrize(
    "options", [{"temperature": 0.5}, {"temperature": float("nan")}, {"epochs": 0}]
)
def test_bad_options(options: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match="must be at least 1"):
        Distillation(**options)


def test_an_empty_loader_is_refused() -> None:
    with pytest.raises(BadInput, match="the loader is empty"):
        Distillation().fit(nn.Linear(2, 2), [], lambda parameters: torch.optim.SGD(parameters, 0.1))
