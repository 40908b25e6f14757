"""Losses against closed forms, pyautoattack's, and each other where one must agree with another."""

from __future__ import annotations

import math
import warnings
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import cross_entropy

from gradwarden.attack.losses import IN_TURN, LOSSES, check_loss, loss_of, losses_of, untargeted
from gradwarden.core.errors import BadInput
from gradwarden.core.goal import Evades, Goal, Strongest, Targeted, Untargeted

UNTARGETED = Untargeted()


def some_logits(seed: int, n: int = 16, classes: int = 5, scale: float = 3.0) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    return (torch.randn(n, classes, generator=rng) * scale).double()


def labels(seed: int, n: int = 16, classes: int = 5) -> Tensor:
    return torch.randint(classes, (n,), generator=torch.Generator().manual_seed(seed + 1))


def slope(
    name: str, logits: Tensor, y: Tensor, goal: Goal = UNTARGETED, aim: Tensor | None = None
) -> Tensor:
    """d loss / d logits [N, classes]."""
    z = logits.clone().requires_grad_()
    (grad,) = torch.autograd.grad(loss_of(goal, name)(z, y, aim).sum(), z)
    return torch.as_tensor(grad)


E = [math.exp(z) for z in (3, 2, 1, 0)]  # of the logits below, y being the second


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cross-entropy", math.log(sum(E) / E[1])),
        ("margin", 3 - 2),
        ("dlr", (3 - 2) / (3 - 1)),
        ("log-probability", math.log((E[0] + E[2] + E[3]) / E[1])),
        ("probability-margin", math.log(1 + (E[0] - E[1]) / sum(E))),
    ],
)
def test_values_by_hand(name: str, value: float) -> None:
    logits, y = torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([1])
    assert float(loss_of(UNTARGETED, name)(logits, y, None)) == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("cross-entropy", math.log(E[2] / sum(E))),
        ("margin", 1 - 2),
        ("dlr", (1 - 2) / (3 - (1 + 0) / 2)),
        ("log-probability", math.log(E[2] / (E[0] + E[1] + E[3]))),
        ("probability-margin", math.log(1 + (E[2] - E[1]) / sum(E))),
    ],
)
def test_values_by_hand_of_a_class_aimed_at(name: str, value: float) -> None:
    logits, y, aim = torch.tensor([[3.0, 2.0, 1.0, 0.0]]), torch.tensor([1]), torch.tensor([2])
    found = loss_of(UNTARGETED, name)(logits, y, aim)
    assert float(found) == pytest.approx(value, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), classes=st.integers(2, 12))
def test_every_loss_is_above_that_of_a_tie_exactly_where_the_goal_is_reached(
    seed: int, classes: int
) -> None:
    logits, y = some_logits(seed, classes=classes), labels(seed, classes=classes)
    for goal in (UNTARGETED, Targeted(1), Strongest(Targeted(1))):
        label = y if goal == UNTARGETED else torch.full_like(y, 1)
        reached = (logits.argmax(1) == label) ^ (goal == UNTARGETED)
        for name in ("margin", "dlr", "probability-margin"):
            assert torch.equal(loss_of(goal, name)(logits, y, None) > 0, reached), (goal, name)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 999), aimed=st.booleans())
def test_log_probability_climbs_as_cross_entropy_does(seed: int, aimed: bool) -> None:
    logits, y = some_logits(seed), labels(seed)
    aim = (y + 1) % 5 if aimed else None
    log, ce = (loss_of(UNTARGETED, n)(logits, y, aim) for n in ("log-probability", "cross-entropy"))
    assert torch.equal(log.argsort(), ce.argsort())
    ours, theirs = (slope(n, logits, y, aim=aim) for n in ("log-probability", "cross-entropy"))
    torch.testing.assert_close(
        ours / ours.norm(dim=1, keepdim=True), theirs / theirs.norm(dim=1, keepdim=True)
    )


def test_where_the_model_is_sure_only_cross_entropy_is_flat() -> None:
    logits, y = torch.tensor([[300.0, 20.0, 10.0, 0.0, -5.0]]), torch.tensor([0])
    for goal in (UNTARGETED, Targeted(2)):
        for name in LOSSES:
            flat = not slope(name, logits, y, goal)[0, 0]
            assert flat is (name == "cross-entropy" and goal == UNTARGETED), (goal, name)
    assert not slope("cross-entropy", logits, y).any()


def test_the_probability_margin_orders_points_as_the_probabilities_do() -> None:
    logits, y = some_logits(3, n=500), labels(3, n=500)
    p = logits.softmax(1)
    own = p.gather(1, y[:, None])[:, 0]
    others = p.scatter(1, y[:, None], -1.0).amax(1)
    found = loss_of(UNTARGETED, "probability-margin")(logits, y, None)
    torch.testing.assert_close(found, (1 + others - own).log())


@pytest.mark.parametrize("name", ["dlr"])
@pytest.mark.parametrize("classes", [3, 4, 10])
def test_the_ratio_has_no_scale_and_no_shift(name: str, classes: int) -> None:
    logits, y = some_logits(5, classes=classes), labels(5, classes=classes)
    loss = loss_of(UNTARGETED, name)
    for aim in (None, (y + 1) % classes):
        base = loss(logits, y, aim)
        torch.testing.assert_close(loss(logits * 1000 + 7, y, aim), base)


def test_with_two_classes_the_ratio_is_the_margin() -> None:
    """There the ratio would be +-1 everywhere, and its gradient 0."""
    logits, y = some_logits(6, classes=2), labels(6, classes=2)
    for aim in (None, 1 - y):
        loss = loss_of(UNTARGETED, "dlr")(logits, y, aim)
        torch.testing.assert_close(loss, loss_of(UNTARGETED, "margin")(logits, y, aim))
        assert slope("dlr", logits, y, aim=aim).any(1).all()


@pytest.mark.parametrize("classes", [3, 4, 5])
@pytest.mark.parametrize("goal", [UNTARGETED, Targeted(0)], ids=repr)
def test_no_rank_of_the_wanted_class_leaves_the_ratio_constant(classes: int, goal: Goal) -> None:
    logits = torch.arange(classes).flip(0)[None].double() ** 1.5
    for wanted in range(1, classes):
        swapped = logits[:, torch.arange(classes).roll(-wanted)]
        if isinstance(goal, Targeted):
            y, aim, z = torch.tensor([1]), None, swapped
        else:
            y, aim, z = torch.tensor([0]), torch.tensor([wanted]), logits
        assert slope("dlr", z, y, goal, aim).abs().max() > 1e-3, wanted


def test_classes_ruled_out_do_not_spoil_the_ratio() -> None:
    logits = torch.tensor([[2.0, 1.0, float("-inf"), float("-inf"), float("-inf")]])
    y, aim = torch.tensor([0]), torch.tensor([1])
    for target in (None, aim):
        assert float(loss_of(UNTARGETED, "dlr")(logits, y, target)) == -1.0
        assert slope("dlr", logits, y, aim=target)[0, :2].tolist() == [-1.0, 1.0]


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_only_infinities_and_nan_of_the_logits_reach_the_loss(name: str) -> None:
    flat, y = torch.zeros(2, 4), torch.tensor([0, 1])
    for aim in (None, torch.tensor([2, 3])):
        assert loss_of(UNTARGETED, name)(flat, y, aim).isfinite().all()
        assert slope(name, flat, y, aim=aim).isfinite().all()


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"cross-entropy"}))
def test_of_a_two_class_goal_every_loss_is_its_margin(name: str) -> None:
    goal, logits, y = Evades(source=1, threshold=0.5), some_logits(7, classes=2), labels(7)
    y = y % 2
    loss = loss_of(goal, name)(logits, y, None)
    assert torch.equal(loss, goal.margin(logits, y))
    assert not untargeted(goal)


def test_what_is_never_reached_is_climbed_alike() -> None:
    logits, y = some_logits(8), labels(8)
    for name in LOSSES:
        for goal in (UNTARGETED, Targeted(2)):
            inner, outer = (loss_of(g, name)(logits, y, None) for g in (goal, Strongest(goal)))
            close = torch.isclose(inner, outer, atol=1e-6)
            assert close.all(), (name, goal)
    assert untargeted(Strongest(UNTARGETED))
    assert not untargeted(Strongest(Targeted(2)))


def _theirs(name: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(import_module("pyautoattack.autopgd_base"), name)


def test_the_ratios_are_those_of_autoattack() -> None:
    logits, y = some_logits(9, n=200, classes=10), labels(9, n=200, classes=10)
    theirs = _theirs("APGDAttack").dlr_loss(None, logits, y)
    torch.testing.assert_close(loss_of(UNTARGETED, "dlr")(logits, y, None), theirs)
    aim = (y + 3) % 10
    self = SimpleNamespace(y_target=aim)
    theirs = _theirs("APGDAttack_targeted").dlr_loss_targeted(self, logits, y)
    torch.testing.assert_close(loss_of(UNTARGETED, "dlr")(logits, y, aim), theirs)
    theirs = _theirs("APGDAttack_targeted").ce_loss_targeted(self, logits, y)
    torch.testing.assert_close(loss_of(UNTARGETED, "cross-entropy")(logits, y, aim), theirs)


def test_the_ratio_of_autoattack_is_flat_with_two_classes_and_raises_with_fewer_than_four() -> None:
    logits, y = some_logits(6, classes=2), labels(6, classes=2)
    with pytest.raises(IndexError):
        _theirs("APGDAttack").dlr_loss(None, logits, y)
    three, aims = some_logits(6, classes=3), SimpleNamespace(y_target=labels(7, classes=3))
    with pytest.raises(IndexError):
        _theirs("APGDAttack_targeted").dlr_loss_targeted(aims, three, labels(6, classes=3))


def test_each_is_several_losses_and_no_single_one() -> None:
    logits, y = some_logits(2), labels(2)
    several = losses_of(UNTARGETED, "each")
    assert len(several) == len(IN_TURN) > 1
    for name, loss in zip(IN_TURN, several, strict=True):
        assert torch.equal(loss(logits, y, None), loss_of(UNTARGETED, name)(logits, y, None))
    check_loss("each", each=True)
    for each in (False, True):
        with pytest.raises(BadInput, match="loss must be one of cross-entropy, margin"):
            check_loss("ce", each=each)
    with pytest.raises(BadInput, match="got 'each'"):
        check_loss("each")


def test_cross_entropy_is_torchs() -> None:
    logits, y = some_logits(1), labels(1)
    found = loss_of(UNTARGETED, "cross-entropy")(logits, y, None)
    torch.testing.assert_close(found, cross_entropy(logits, y, reduction="none"))
