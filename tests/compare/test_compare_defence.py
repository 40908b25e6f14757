"""A defence of any security task: its own threshold, ball, metrics; a plane as the closed form."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from own_tasks import OFFSET, WEIGHTS, Flags

from gradwarden.compare.defence import DefenceJob
from gradwarden.compare.job import settings, written_in
from gradwarden.compare.quick import jobs
from gradwarden.compare.results import Defended, _read
from gradwarden.tasks.digits_cnn import DigitsCNN
from gradwarden.tasks.task import SecurityTask


def job(task: SecurityTask, **options: Any) -> DefenceJob:
    return DefenceJob(of=task, name="", purpose="none", seed=0, **options)


@pytest.fixture(scope="module")
def found() -> Defended:
    made = _read(job(Flags(threshold=0.3, radius=0.1)).run())
    assert isinstance(made, Defended)
    return made


def bits(hold: torch.Tensor) -> str:
    return "".join("1" if right else "0" for right in hold.tolist())


def test_the_plane_falls_where_the_closed_form_says(found: Defended) -> None:
    """Linf moves w.x by the radius times the sum of |w|; the box is out of reach."""
    x, _ = Flags().held_out()
    above = x @ torch.tensor(WEIGHTS) + OFFSET - 0.3
    assert found.clean == bits(above > 0)
    assert found.adaptive == found.pgd == bits(above > 0.1 * 3.0)
    assert found.clean != found.adaptive


def test_the_curve_is_in_shares_of_the_ball_of_the_task(found: Defended) -> None:
    x, _ = Flags().held_out()
    above = x @ torch.tensor(WEIGHTS) + OFFSET - 0.3
    assert found.radii == pytest.approx((0.025, 0.05, 0.1, 0.2))
    standing = [float((above > radius * 3.0).double().mean()) for radius in found.radii]
    assert found.adaptive_curve == pytest.approx(standing)
    assert found.curve_images == len(x)


def test_metrics_count_who_is_attacked_and_leave_the_others(found: Defended) -> None:
    task = Flags(threshold=0.3, radius=0.1)
    x, y = task.split("test")
    flagged = x @ torch.tensor(WEIGHTS) + OFFSET > 0.3
    assert found.metrics["clean"]["recall"] == pytest.approx(float(flagged[y == 1].double().mean()))
    attacked = found.metrics["adaptive"]
    assert attacked["recall"] == pytest.approx(found.adaptive.count("1") / len(found.adaptive))
    assert attacked["false-positive rate"] == found.metrics["clean"]["false-positive rate"]
    assert attacked["false-positive rate"] == float(flagged[y == 0].double().mean()) > 0


def test_no_pictures_where_there_is_no_image(found: Defended) -> None:
    assert found.pictures == ()


def test_digits_are_configured_and_stored_as_ever() -> None:
    made = [one for one in jobs([DigitsCNN.name], range(2)) if isinstance(one, DefenceJob)]
    assert [settings(one)["radii"] for one in made] == [[0.025, 0.05, 0.1, 0.2]] * 6
    assert not [one for one in made if "written in" in settings(one)]
    stored = job(DigitsCNN(images=10, epochs=0)).run()
    assert "metrics" not in stored


def test_a_task_of_a_user_is_hashed_with_the_file_it_is_written_in() -> None:
    assert written_in(DigitsCNN()) == {}
    assert list(written_in(Flags())) == ["written in"]
    assert settings(job(Flags()))["written in"] == written_in(Flags())["written in"]
